//! `cargo xtask dashboard`: the Grafana dashboard, made of packaging/monitoring/dashboard.toml.
//!
//! A dashboard as Grafana stores it says the same things dozens of times; the source says each once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::build::workspace;

/// Height of a panel, and of one with a single number.
const HEIGHT: u32 = 8;
const STAT_HEIGHT: u32 = 4;

/// Width of the grid.
const WIDTH: u32 = 24;

/// What Grafana calls the version of its format; newer ones read it.
const SCHEMA: u32 = 39;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dashboard {
    title: String,
    uid: String,
    refresh: String,
    row: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    title: String,
    panel: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Panel {
    title: String,
    #[serde(default)]
    about: String,
    kind: Kind,
    #[serde(default = "plain_number")]
    unit: String,
    width: u32,
    red_above: Option<f64>,
    red_below: Option<f64>,
    #[serde(default)]
    words: BTreeMap<String, String>,
    show: Vec<Show>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Stat,
    Graph,
    Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Show {
    query: String,
    #[serde(default)]
    legend: String,
}

fn plain_number() -> String {
    "short".to_owned()
}

/// Writes it.
pub(crate) fn run() -> Result<ExitCode> {
    let folder = folder()?;
    let made = folder.join("agentguard-dashboard.json");
    std::fs::write(&made, make(&folder)?).with_context(|| made.display().to_string())?;
    println!("wrote {}", made.display());
    Ok(ExitCode::SUCCESS)
}

fn folder() -> Result<PathBuf> {
    Ok(workspace()?.join("packaging/monitoring"))
}

fn make(folder: &Path) -> Result<String> {
    let source = folder.join("dashboard.toml");
    let text = std::fs::read_to_string(&source).with_context(|| source.display().to_string())?;
    let dashboard: Dashboard = toml::from_str(&text).with_context(|| source.display().to_string())?;
    Ok(serde_json::to_string_pretty(&dashboard.json())? + "\n")
}

impl Dashboard {
    fn json(&self) -> Value {
        let mut panels = Vec::new();
        let mut y = 0;
        for row in &self.row {
            let place = json!({ "x": 0, "y": y, "w": WIDTH, "h": 1 });
            panels.push(json!({ "type": "row", "title": row.title, "collapsed": false, "gridPos": place, "panels": [] }));
            y += 1;
            let (mut x, mut height) = (0, 0);
            for panel in &row.panel {
                if x + panel.width > WIDTH {
                    (x, y, height) = (0, y + height, 0);
                }
                panels.push(panel.json(x, y));
                x += panel.width;
                height = height.max(panel.height());
            }
            y += height;
        }
        for (id, panel) in (1..).zip(&mut panels) {
            panel["id"] = json!(id);
        }
        json!({
            "title": self.title,
            "uid": self.uid,
            "tags": ["agentguard"],
            "schemaVersion": SCHEMA,
            "refresh": self.refresh,
            "time": { "from": "now-6h", "to": "now" },
            "timezone": "browser",
            "editable": true,
            "templating": { "list": [
                { "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus" },
                {
                    "name": "instance", "label": "Host", "type": "query", "datasource": datasource(),
                    "query": { "query": "label_values(agentguard_build, instance)", "refId": "instance" },
                    "refresh": 2, "multi": true, "includeAll": true, "allValue": ".*",
                    "current": { "text": "All", "value": "$__all" }, "sort": 1,
                },
            ] },
            "panels": panels,
        })
    }
}

impl Panel {
    fn height(&self) -> u32 {
        if self.kind == Kind::Stat { STAT_HEIGHT } else { HEIGHT }
    }

    fn json(&self, x: u32, y: u32) -> Value {
        let (kind, options) = match self.kind {
            Kind::Stat => {
                ("stat", json!({ "reduceOptions": { "calcs": ["lastNotNull"] }, "colorMode": "value" }))
            }
            Kind::Graph => {
                ("timeseries", json!({ "legend": { "displayMode": "list", "placement": "bottom" } }))
            }
            Kind::Table => ("table", json!({})),
        };
        let targets: Vec<Value> = ('A'..).zip(&self.show).map(|(id, show)| self.target(id, show)).collect();
        json!({
            "type": kind,
            "title": self.title,
            "description": self.about,
            "datasource": datasource(),
            "gridPos": { "x": x, "y": y, "w": self.width, "h": self.height() },
            "fieldConfig": { "defaults": {
                "unit": self.unit,
                "mappings": self.mappings(),
                "thresholds": { "mode": "absolute", "steps": self.thresholds() },
            }, "overrides": [] },
            "options": options,
            "targets": targets,
        })
    }

    fn target(&self, id: char, show: &Show) -> Value {
        let now = self.kind != Kind::Graph;
        let legend = if show.legend.is_empty() { "__auto" } else { &show.legend };
        json!({
            "refId": id.to_string(), "datasource": datasource(), "expr": show.query, "legendFormat": legend,
            "instant": now, "range": !now, "format": if self.kind == Kind::Table { "table" } else { "time_series" },
        })
    }

    fn mappings(&self) -> Value {
        if self.words.is_empty() {
            return json!([]);
        }
        let words: serde_json::Map<_, _> =
            self.words.iter().map(|(number, word)| (number.clone(), json!({ "text": word }))).collect();
        json!([{ "type": "value", "options": words }])
    }

    /// The first step has no value: it is what is below all others.
    fn thresholds(&self) -> Value {
        let step = |color: &str, from: Option<f64>| json!({ "color": color, "value": from });
        match (self.red_below, self.red_above) {
            (None, None) => json!([step("green", None)]),
            (Some(below), None) => json!([step("red", None), step("green", Some(below))]),
            (None, Some(above)) => json!([step("green", None), step("red", Some(above))]),
            (Some(below), Some(above)) => {
                json!([step("red", None), step("green", Some(below)), step("red", Some(above))])
            }
        }
    }
}

fn datasource() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_is_that_of_its_source() {
        let folder = folder().expect("a workspace");
        let there = std::fs::read_to_string(folder.join("agentguard-dashboard.json")).unwrap_or_default();
        let made = make(&folder).expect("the source can be read");
        assert!(
            there == made,
            "packaging/monitoring/agentguard-dashboard.json is old: run cargo xtask dashboard"
        );
    }

    #[test]
    fn no_panel_lies_over_another_or_beside_the_grid() {
        let dashboard: Value =
            serde_json::from_str(&make(&folder().expect("a workspace")).expect("made")).expect("JSON");
        let place =
            |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().expect("a number"));
        let places: Vec<_> = dashboard["panels"].as_array().expect("panels").iter().map(place).collect();
        for (number, [x, y, w, h]) in places.iter().enumerate() {
            assert!(*w > 0 && x + w <= u64::from(WIDTH));
            for [other_x, other_y, other_w, other_h] in &places[number + 1..] {
                let apart = x + w <= *other_x
                    || other_x + other_w <= *x
                    || y + h <= *other_y
                    || other_y + other_h <= *y;
                assert!(apart, "panels at {x},{y} and {other_x},{other_y}");
            }
        }
    }
}
