//! What is on the screen, and what a key does to it. Pure: keys, lists and outcomes go in, actions come out.
//!
//! ```text
//!           a             o t s              Enter
//! browse ──────► how far ────────► because ────────► browse, and the answer is sent
//!           d ─────────────────────┘
//! ```
//!
//! The one promise: an answer goes to the approval that was shown when it was begun. The selection is an approval and not
//! a place in the list, it is never moved but by a key, and an answer ends with the approval it is for. What is typed on
//! after that, without a look at the screen, must not be taken for keys: it is dropped up to Enter or Esc.

use agentguard_api::report::ApprovalView;
use agentguard_api::v1::AnswerRequest;
use agentguard_core::approval::{MAX_BECAUSE, Reuse, State};
use agentguard_core::ids::IncidentId;
use agentguard_core::verdict::Severity;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::super::facts;
use crate::screen::{Tone, printable};

/// What `t` means: long enough for one piece of work, short enough to be remembered.
const TEN_MINUTES: Reuse = Reuse::Seconds(600);

/// One approval and what exactly it is about. With the same id and another fingerprint it is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) id: IncidentId,
    sha256: String,
}

impl Key {
    fn of(one: &ApprovalView) -> Self {
        Self { id: one.id.clone(), sha256: one.sha256.clone() }
    }

    fn is(&self, one: &ApprovalView) -> bool {
        self.id == one.id && self.sha256 == one.sha256
    }
}

/// What a person is about to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Approve(Reuse),
    Deny,
}

/// What keys mean now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mode {
    Browse,
    Help,
    HowFar { on: Key },
    Because { on: Key, answer: Answer, text: String },
    Dropped,
}

/// One line about what happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) tone: Tone,
    pub(super) words: String,
}

/// What the loop is to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    /// Ask who waits, now.
    Refresh,
    /// Send an answer.
    Answer(AnswerRequest),
    /// Ask what became of one that is no longer pending.
    Look(IncidentId),
    /// End.
    Leave,
}

/// How the details were drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Drawn {
    /// Whether there was room for them. If not, nothing can be answered.
    pub(super) shown: bool,
    /// Lines of them that were seen at once.
    pub(super) page: usize,
    /// Lines of them at all.
    pub(super) lines: usize,
}

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Model {
    pending: Vec<ApprovalView>,
    selected: Option<Key>,
    /// Where the selection is or was last, for the next key after it was lost.
    place: usize,
    mode: Mode,
    status: Option<Status>,
    /// Why agentd could not be asked the last time.
    away: Option<String>,
    /// Whether it was ever known who waits.
    known: bool,
    /// The answer that is on its way.
    sending: Option<IncidentId>,
    /// The one that was lost, and whether an answer to it was dropped: agentd is asked what became of it.
    lost: Option<(IncidentId, bool)>,
    leaving: bool,
    scroll: usize,
    drawn: Drawn,
}

impl Model {
    pub(super) fn new() -> Self {
        Self {
            pending: Vec::new(),
            selected: None,
            place: 0,
            mode: Mode::Browse,
            status: None,
            away: None,
            known: false,
            sending: None,
            lost: None,
            leaving: false,
            scroll: 0,
            drawn: Drawn { shown: false, page: 0, lines: 0 },
        }
    }

    pub(super) fn pending(&self) -> &[ApprovalView] {
        &self.pending
    }

    /// Its place in the list, and itself.
    pub(super) fn selected(&self) -> Option<(usize, &ApprovalView)> {
        let key = self.selected.as_ref()?;
        self.pending.iter().enumerate().find(|(_, one)| key.is(one))
    }

    pub(super) const fn place(&self) -> usize {
        self.place
    }

    pub(super) const fn mode(&self) -> &Mode {
        &self.mode
    }

    pub(super) const fn known(&self) -> bool {
        self.known
    }

    pub(super) const fn scroll(&self) -> usize {
        self.scroll
    }

    /// The status line: that agentd is away comes first, for what is shown may be old.
    pub(super) fn status(&self) -> Option<Status> {
        let away = self.away.as_ref().map(|words| Status { tone: Tone::Bad, words: words.clone() });
        away.or_else(|| self.status.clone())
    }

    /// What to say once the screen is gone: an outcome that nobody could read on it.
    pub(super) fn last_words(&self) -> Option<Status> {
        match &self.sending {
            Some(id) => {
                let words = format!("left before agentd said what became of the answer to {id}");
                Some(Status { tone: Tone::Bad, words: printable(&words) })
            }
            None => self.status.clone().filter(|_| self.leaving),
        }
    }

    /// Says how the details were drawn.
    pub(super) fn set_drawn(&mut self, drawn: Drawn) {
        self.drawn = drawn;
        self.scroll = self.scroll.min(drawn.lines.saturating_sub(drawn.page));
    }

    /// Takes a key.
    pub(super) fn key(&mut self, key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if control && key.code == KeyCode::Char('c') {
            return Some(Action::Leave);
        }
        match key.code {
            KeyCode::PageDown => self.scroll += self.drawn.page.saturating_sub(1).max(1),
            KeyCode::PageUp => {
                self.scroll = self.scroll.saturating_sub(self.drawn.page.saturating_sub(1).max(1));
            }
            code => {
                return match std::mem::replace(&mut self.mode, Mode::Browse) {
                    Mode::Browse if control || key.modifiers.contains(KeyModifiers::ALT) => None,
                    Mode::Browse => self.browse(code),
                    Mode::Help => None,
                    Mode::Dropped => {
                        if !matches!(code, KeyCode::Enter | KeyCode::Esc) {
                            self.mode = Mode::Dropped;
                        }
                        None
                    }
                    Mode::HowFar { on } => self.how_far(on, code),
                    Mode::Because { on, answer, text } => self.because(on, answer, text, code, control),
                };
            }
        }
        None
    }

    /// Takes text that was pasted: it is a justification or nothing, never a row of keys.
    pub(super) fn paste(&mut self, pasted: &str) {
        if let Mode::Because { text, .. } = &mut self.mode {
            for character in pasted.trim_end().chars() {
                add(text, if character.is_control() { ' ' } else { character });
            }
        }
    }

    fn browse(&mut self, code: KeyCode) -> Option<Action> {
        match code {
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::Char('a') => {
                if let Some(on) = self.subject() {
                    self.mode = Mode::HowFar { on };
                }
            }
            KeyCode::Char('d') => {
                if let Some(on) = self.subject() {
                    self.mode = Mode::Because { on, answer: Answer::Deny, text: String::new() };
                }
            }
            KeyCode::Char('r') => return Some(Action::Refresh),
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('q') => return self.quit(),
            _ => {}
        }
        None
    }

    fn how_far(&mut self, on: Key, code: KeyCode) -> Option<Action> {
        let reuse = match code {
            KeyCode::Char('o') => Reuse::Once,
            KeyCode::Char('t') => TEN_MINUTES,
            KeyCode::Char('s') => Reuse::Session,
            KeyCode::Esc => return None,
            _ => {
                self.mode = Mode::HowFar { on };
                return None;
            }
        };
        self.mode = Mode::Because { on, answer: Answer::Approve(reuse), text: String::new() };
        None
    }

    fn because(
        &mut self,
        on: Key,
        answer: Answer,
        mut text: String,
        code: KeyCode,
        control: bool,
    ) -> Option<Action> {
        match code {
            KeyCode::Enter => return self.send(on, answer, text),
            KeyCode::Esc => {
                if let Answer::Approve(_) = answer {
                    self.mode = Mode::HowFar { on };
                }
                return None;
            }
            KeyCode::Backspace => {
                text.pop();
            }
            KeyCode::Char('u') if control => text.clear(),
            KeyCode::Char(character) if !control => add(&mut text, character),
            _ => {}
        }
        self.mode = Mode::Because { on, answer, text };
        None
    }

    fn send(&mut self, on: Key, answer: Answer, text: String) -> Option<Action> {
        let Some(one) = self.pending.iter().find(|one| on.is(one)) else {
            return self.lose(on.id, true);
        };
        let problem = if one.severity == Severity::Critical && text.trim().is_empty() {
            Some("a CRITICAL request needs a justification")
        } else if !self.drawn.shown {
            Some("the terminal is too small to show what would be answered")
        } else {
            None
        };
        if let Some(problem) = problem {
            self.say(Tone::Warn, problem.to_owned());
            self.mode = Mode::Because { on, answer, text };
            return None;
        }
        let (allow, reuse) = match answer {
            Answer::Approve(reuse) => (true, reuse),
            Answer::Deny => (false, Reuse::Once),
        };
        let (seconds, session) = match reuse {
            Reuse::Once => (0, false),
            Reuse::Seconds(seconds) => (seconds, false),
            Reuse::Session => (0, true),
        };
        self.say(Tone::Plain, format!("sending the answer to {}", on.id));
        self.sending = Some(on.id.clone());
        let because = text.trim().to_owned();
        Some(Action::Answer(AnswerRequest { id: on.id.0, allow, because, seconds, session }))
    }

    /// The one that an answer may be begun for.
    fn subject(&mut self) -> Option<Key> {
        let problem = if self.sending.is_some() {
            "the last answer is still on its way"
        } else if !self.drawn.shown {
            "the terminal is too small to show what would be answered"
        } else if self.selected().is_none() {
            "nothing is selected: select with j and k"
        } else {
            self.status = None;
            return self.selected.clone();
        };
        self.say(Tone::Warn, problem.to_owned());
        self.mode = Mode::Dropped;
        None
    }

    fn quit(&mut self) -> Option<Action> {
        match &self.sending {
            Some(id) if !self.leaving => {
                let words = format!("waiting for the outcome of the answer to {id}; q again leaves at once");
                self.leaving = true;
                self.say(Tone::Warn, words);
                None
            }
            _ => Some(Action::Leave),
        }
    }

    /// Moves the selection; where there is none any more, the first key selects what is in its place now.
    fn select(&mut self, step: isize) {
        let last = self.pending.len().saturating_sub(1);
        let place = match self.selected() {
            Some((place, _)) => place.saturating_add_signed(step).min(last),
            None => self.place.min(last),
        };
        if let Some(one) = self.pending.get(place) {
            self.selected = Some(Key::of(one));
            (self.place, self.scroll) = (place, 0);
        }
    }

    /// Takes who waits now, or why that is not known.
    pub(super) fn list(&mut self, list: Result<Vec<ApprovalView>, String>) -> Option<Action> {
        let mut pending = match list {
            Ok(list) => list,
            Err(words) => {
                self.away = Some(printable(&words));
                return None;
            }
        };
        pending.retain(|one| one.state == State::Pending);
        // In the order in which they were asked, so that a new one comes last and moves no other.
        pending.sort_by(|a, b| (a.record.time_ns, &a.id.0).cmp(&(b.record.time_ns, &b.id.0)));
        let nobody_waited = self.pending.is_empty();
        (self.pending, self.away, self.known) = (pending, None, true);
        match self.selected.take() {
            Some(key) if self.pending.iter().any(|one| key.is(one)) => {
                self.selected = Some(key);
                self.place = self.selected().map_or(self.place, |(place, _)| place);
                None
            }
            Some(key) => {
                let answering = matches!(self.mode, Mode::HowFar { .. } | Mode::Because { .. });
                if answering {
                    self.mode = Mode::Dropped;
                }
                self.lose(key.id, answering)
            }
            None if nobody_waited => {
                self.place = 0;
                self.select(0);
                None
            }
            None => None,
        }
    }

    /// One that was selected is not pending any more. Nothing is selected then: the next key could be for what was there.
    fn lose(&mut self, id: IncidentId, dropped: bool) -> Option<Action> {
        (self.selected, self.scroll) = (None, 0);
        if self.sending.as_ref() == Some(&id) {
            return None; // its outcome will tell
        }
        self.say(Tone::Warn, format!("{id} is not pending any more{}", not_sent(dropped)));
        self.lost = Some((id.clone(), dropped));
        Some(Action::Look(id))
    }

    /// Takes what became of one that was lost.
    pub(super) fn looked(&mut self, id: &IncidentId, found: Option<&ApprovalView>) {
        let Some((_, dropped)) = self.lost.take_if(|(lost, _)| lost == id) else { return };
        let Some(found) = found else { return };
        let became = match found.state {
            State::Approved | State::Denied | State::Revoked => {
                found.votes.last().map(|vote| facts::answer(found.state, vote)).unwrap_or_default()
            }
            State::Expired => "expired: nobody answered in time".to_owned(),
            State::Withdrawn => "withdrawn: nobody waits any more".to_owned(),
            State::Pending => "asks for something else now".to_owned(),
        };
        self.say(Tone::Warn, format!("{id} {became}{}", not_sent(dropped)));
    }

    /// Takes what an answer came to.
    pub(super) fn outcome(
        &mut self,
        id: &IncidentId,
        outcome: Result<ApprovalView, String>,
    ) -> Option<Action> {
        self.sending = None;
        match outcome {
            Ok(view) => {
                let tone = if view.state == State::Denied { Tone::Warn } else { Tone::Good };
                self.say(tone, printable(&facts::outcome(&view)));
                if view.state != State::Pending {
                    self.pending.retain(|one| one.id != view.id);
                }
            }
            Err(words) => self.say(Tone::Bad, printable(&format!("{id}: {words}"))),
        }
        if self.leaving {
            return Some(Action::Leave);
        }
        if self.selected().is_none() {
            (self.selected, self.scroll) = (None, 0);
        }
        Some(Action::Refresh)
    }

    fn say(&mut self, tone: Tone, words: String) {
        self.status = Some(Status { tone, words });
        self.lost = None;
    }
}

const fn not_sent(dropped: bool) -> &'static str {
    if dropped { "; your answer was not sent" } else { "" }
}

fn add(text: &mut String, character: char) {
    if !character.is_control() && text.chars().count() < MAX_BECAUSE {
        text.push(character);
    }
}
