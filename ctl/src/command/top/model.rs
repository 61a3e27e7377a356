//! What `top` knows: the last two looks at agentd, and what was typed. Pure: looks and keys go in, rows come out.

use std::collections::BTreeMap;

use agentguard_api::report::{AgentState, AgentView, ApprovalView, Status};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// By what rows are sorted, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    Denials,
    Records,
    Waiting,
    Processes,
    Name,
}

impl Sort {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Denials => "denials",
            Self::Records => "records",
            Self::Waiting => "waiting",
            Self::Processes => "processes",
            Self::Name => "name",
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Denials => Self::Records,
            Self::Records => Self::Waiting,
            Self::Waiting => Self::Processes,
            Self::Processes => Self::Name,
            Self::Name => Self::Denials,
        }
    }
}

/// agentd at one moment.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Look {
    /// Wall clock.
    pub(super) time_ns: u64,
    pub(super) status: Status,
    pub(super) agents: Vec<AgentView>,
    pub(super) waiting: Vec<ApprovalView>,
}

/// One agent.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) mode: String,
    pub(super) governance: String,
    pub(super) processes: u32,
    /// A second; not known at the first look.
    pub(super) records: Option<f64>,
    pub(super) denials: Option<f64>,
    /// Since it runs.
    pub(super) denied: u64,
    pub(super) waiting: usize,
}

/// What the loop is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Leave,
}

/// What is on the screen.
pub(super) struct Model {
    before: Option<Look>,
    shown: Option<Look>,
    away: Option<String>,
    paused: bool,
    sort: Sort,
    scroll: usize,
}

impl Model {
    pub(super) const fn new() -> Self {
        Self { before: None, shown: None, away: None, paused: false, sort: Sort::Denials, scroll: 0 }
    }

    /// What agentd says now, or why it says nothing. While the screen is paused nothing changes on it, but that agentd is
    /// away.
    pub(super) fn look(&mut self, look: Result<Look, String>) {
        match look {
            Err(why) => self.away = Some(why),
            Ok(_) if self.paused => self.away = None,
            Ok(look) => {
                self.away = None;
                self.before = self.shown.replace(look);
            }
        }
    }

    pub(super) const fn shown(&self) -> Option<&Look> {
        self.shown.as_ref()
    }

    pub(super) fn away(&self) -> Option<&str> {
        self.away.as_deref()
    }

    pub(super) const fn paused(&self) -> bool {
        self.paused
    }

    pub(super) const fn sort(&self) -> Sort {
        self.sort
    }

    /// The first row that is shown where so many fit.
    pub(super) fn first(&self, rows: usize, room: usize) -> usize {
        self.scroll.min(rows.saturating_sub(room))
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c') if control => return Some(Action::Leave),
            _ if control => {}
            KeyCode::Char('q') => return Some(Action::Leave),
            KeyCode::Char('p' | ' ') => self.paused = !self.paused,
            KeyCode::Char('s') => self.sort = self.sort.next(),
            KeyCode::Down | KeyCode::Char('j') => {
                let most = self.running().count().saturating_sub(1);
                self.scroll = self.scroll.saturating_add(1).min(most);
            }
            KeyCode::Up | KeyCode::Char('k') => self.scroll = self.scroll.saturating_sub(1),
            KeyCode::Home => self.scroll = 0,
            _ => {}
        }
        None
    }

    fn running(&self) -> impl Iterator<Item = &AgentView> {
        let agents = self.shown.iter().flat_map(|look| &look.agents);
        agents.filter(|agent| agent.state == AgentState::Running)
    }

    /// Agents that run, sorted; those that are equal by name.
    pub(super) fn rows(&self) -> Vec<Row> {
        let Some(look) = &self.shown else { return Vec::new() };
        let before = self.before.as_ref().filter(|before| !restarted(before, look));
        let known: BTreeMap<_, _> = before
            .iter()
            .flat_map(|before| &before.agents)
            .map(|agent| ((&agent.name, agent.key), (agent.records, agent.denied)))
            .collect();
        let seconds = before.map(|before| seconds(before, look));
        let mut rows: Vec<Row> = self
            .running()
            .map(|agent| {
                // One that came since then had nothing before.
                let was = known.get(&(&agent.name, agent.key)).copied().unwrap_or_default();
                Row {
                    name: agent.name.0.clone(),
                    mode: agent.mode.clone(),
                    governance: agent.governance.clone(),
                    processes: agent.processes,
                    records: seconds.map(|seconds| rate(was.0, agent.records, seconds)),
                    denials: seconds.map(|seconds| rate(was.1, agent.denied, seconds)),
                    denied: agent.denied,
                    waiting: look.waiting.iter().filter(|one| one.record.agent == agent.name).count(),
                }
            })
            .collect();
        rows.sort_by(|one, other| {
            let more = |of: fn(&Row) -> f64| of(other).total_cmp(&of(one));
            let order = match self.sort {
                Sort::Denials => more(|row| row.denials.unwrap_or(0.0)).then(other.denied.cmp(&one.denied)),
                Sort::Records => more(|row| row.records.unwrap_or(0.0)),
                Sort::Waiting => other.waiting.cmp(&one.waiting),
                Sort::Processes => other.processes.cmp(&one.processes),
                Sort::Name => std::cmp::Ordering::Equal,
            };
            order.then_with(|| one.name.cmp(&other.name))
        });
        rows
    }

    /// Records and denials of all agents a second; nothing at the first look.
    pub(super) fn totals(&self) -> Option<(f64, f64)> {
        let look = self.shown.as_ref()?;
        let before = self.before.as_ref().filter(|before| !restarted(before, look))?;
        let counted = |look: &Look, name: &str| look.status.kernel_counters.get(name).copied().unwrap_or(0);
        let seconds = seconds(before, look);
        let of = |name| rate(counted(before, name), counted(look, name), seconds);
        Some((of("emitted"), of("denied")))
    }

    /// What was lost since agentd started, by stage.
    pub(super) fn lost(&self) -> Vec<(&str, u64)> {
        let Some(look) = &self.shown else { return Vec::new() };
        let ring = look.status.kernel_counters.get("lost").map(|count| ("ring", *count));
        let stages = look.status.lost.iter().map(|(stage, count)| (stage.as_str(), *count));
        ring.into_iter().chain(stages).filter(|(_, count)| *count > 0).collect()
    }
}

/// Counts of another agentd say nothing about this one.
fn restarted(before: &Look, look: &Look) -> bool {
    before.status.pid != look.status.pid || look.time_ns <= before.time_ns
}

fn seconds(before: &Look, look: &Look) -> f64 {
    look.time_ns.saturating_sub(before.time_ns) as f64 / 1e9
}

/// Counts that went back, because old records went, are no rate.
fn rate(before: u64, now: u64, seconds: f64) -> f64 {
    now.saturating_sub(before) as f64 / seconds
}
