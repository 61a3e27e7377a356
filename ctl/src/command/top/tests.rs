//! The model by its looks and keys, and the view on a terminal that is none.

use agentguard_api::report::{AgentView, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use serde_json::json;

use super::model::{Action, Look, Model};
use super::view;
use crate::fullscreen::Palette;
use crate::samples::{NOON_NS, held_exec};

fn status(pid: u32) -> Status {
    serde_json::from_value(json!({
        "version": "0.1.0", "pid": pid, "uptime_sec": 7384, "kernel": "6.1.0", "backend": "lsm", "limits": [],
        "problems": [], "agents": 3, "kernel_counters": {"emitted": 0, "denied": 0, "lost": 0}, "lost": {"store": 0},
        "policy": {"version": "0123456789ab", "running": true, "since_ns": 0, "packs": ["network"], "source": ""},
        "canary": {"ok": true, "age_ms": 4000},
        "store": {"path": "/var/lib/agentguard/records.db", "records": 0, "bytes": 0, "oldest_ns": 0},
    }))
    .unwrap()
}

fn agent(name: &str, slot: u32, records: u64, denied: u64) -> AgentView {
    serde_json::from_value(json!({
        "name": name, "state": "running", "mode": "enforce", "role": "coding", "tier": 2, "target": "run",
        "key": {"slot": slot, "serial": slot}, "processes": slot + 1, "uid": 1000, "spec_file": "s.toml",
        "version": "0123456789ab", "rules": 3, "enrolled_ns": 0, "ended_ns": 0, "records": records,
        "denied": denied, "governance": "GOVERNED_VALID",
    }))
    .unwrap()
}

fn look(second: u64, pid: u32, emitted: u64, agents: Vec<AgentView>) -> Look {
    let mut status = status(pid);
    status.kernel_counters.insert("emitted".to_owned(), emitted);
    Look { time_ns: NOON_NS + second * 1_000_000_000, status, agents, waiting: Vec::new() }
}

/// Two looks, two seconds apart.
fn model() -> Model {
    let mut model = Model::new();
    model.look(Ok(look(0, 8, 1000, vec![agent("coder", 0, 100, 1), agent("tester", 1, 50, 0)])));
    let mut second = look(
        2,
        8,
        1500,
        vec![agent("coder", 0, 120, 1), agent("tester", 1, 450, 6), agent("writer", 2, 80, 0)],
    );
    second.waiting = vec![held_exec(7)];
    second.status.kernel_counters.insert("denied".to_owned(), 6);
    model.look(Ok(second));
    model
}

fn press(model: &mut Model, key: char) -> Option<Action> {
    model.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE))
}

fn names(model: &Model) -> Vec<String> {
    model.rows().into_iter().map(|row| row.name).collect()
}

fn drawn(model: &Model, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, model, Palette { colors: false })).unwrap();
    terminal.backend().clone()
}

#[test]
fn rates_are_what_was_counted_between_two_looks() {
    let model = model();
    let rows = model.rows();
    let tester = rows.iter().find(|row| row.name == "tester").unwrap();
    assert_eq!((tester.records, tester.denials), (Some(200.0), Some(3.0)));
    assert_eq!(model.totals(), Some((250.0, 3.0)));
}

#[test]
fn the_first_look_has_no_rates_and_neither_has_one_after_a_restart() {
    let mut model = Model::new();
    model.look(Ok(look(0, 8, 1000, vec![agent("coder", 0, 100, 1)])));
    assert_eq!((model.totals(), model.rows()[0].records), (None, None));
    model.look(Err("agentd is not running".to_owned()));
    assert_eq!(model.away(), Some("agentd is not running"));
    assert_eq!(model.rows().len(), 1, "what was known stays on the screen");
    model.look(Ok(look(9, 9, 3, vec![agent("coder", 0, 101, 1)])));
    assert_eq!((model.away(), model.totals(), model.rows()[0].records), (None, None, None));
}

#[test]
fn counts_that_went_back_are_no_negative_rate() {
    let mut model = Model::new();
    model.look(Ok(look(0, 8, 5, vec![agent("coder", 0, 100, 9)])));
    model.look(Ok(look(1, 8, 5, vec![agent("coder", 0, 10, 2)])));
    assert_eq!((model.rows()[0].records, model.rows()[0].denials), (Some(0.0), Some(0.0)));
}

#[test]
fn s_sorts_by_another_column_the_most_first() {
    let mut model = model();
    for expected in [
        ["tester", "coder", "writer"],
        ["tester", "writer", "coder"],
        ["coder", "tester", "writer"],
        ["writer", "tester", "coder"],
        ["coder", "tester", "writer"],
    ] {
        assert_eq!(names(&model), expected, "{:?}", model.sort());
        assert_eq!(press(&mut model, 's'), None);
    }
}

#[test]
fn nothing_moves_while_it_is_paused() {
    let mut model = model();
    press(&mut model, 'p');
    let before = model.rows();
    model.look(Ok(look(3, 8, 9000, vec![agent("other", 5, 9, 9)])));
    assert_eq!(model.rows(), before);
    press(&mut model, 'p');
    model.look(Ok(look(4, 8, 9000, vec![agent("other", 5, 9, 9)])));
    assert_eq!(names(&model), ["other"]);
}

#[test]
fn q_and_control_c_leave() {
    let mut model = model();
    assert_eq!(press(&mut model, 'q'), Some(Action::Leave));
    let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(model.key(control_c), Some(Action::Leave));
    assert_eq!(press(&mut model, 'x'), None);
}

#[test]
fn everything_fits_on_eighty_columns() {
    insta::assert_snapshot!(drawn(&model(), 80, 24));
}

#[test]
fn problems_losses_and_an_agentd_that_is_away_are_seen() {
    let mut model = model();
    let mut look = look(3, 8, 1500, Vec::new());
    look.status.canary.ok = false;
    look.status.problems = vec!["kernel tables were full 2 times; each was a denial".to_owned()];
    look.status.lost.insert("store".to_owned(), 12);
    look.status.kernel_counters.insert("lost".to_owned(), 3);
    model.look(Ok(look));
    model.look(Err("agentd is not running (no answer on /run/agentguard/agentd.sock)".to_owned()));
    insta::assert_snapshot!(drawn(&model, 80, 14));
}

#[test]
fn rows_that_do_not_fit_can_be_scrolled_to() {
    let mut model = Model::new();
    let agents = (0..30).map(|number| agent(&format!("agent-{number:02}"), number, 0, 0)).collect();
    model.look(Ok(look(0, 8, 0, agents)));
    for _ in 0..100 {
        press(&mut model, 'j');
    }
    let screen = drawn(&model, 80, 14).to_string();
    assert!(screen.contains("agent-29") && !screen.contains("agent-00"), "{screen}");
    assert!(drawn(&model, 40, 5).to_string().contains("too small"));
}
