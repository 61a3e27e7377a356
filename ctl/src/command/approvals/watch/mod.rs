//! `approvals watch`: who waits, on the whole screen, with keys to answer.
//!
//! keys, ticks, agentd's answers -> model -> view. The model decides, the view draws, `calls` talks to agentd; here is
//! only the loop between them and the terminal, which is as before whatever way this ends.

mod calls;
mod model;
#[cfg(test)]
mod tests;
mod view;

use std::time::Duration;

use ratatui::crossterm::event::Event;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Interval, MissedTickBehavior, interval};

use calls::{Job, Said};
use model::{Action, Model, Status};

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::fullscreen::{self, Ended, Fullscreen, Input, Inputs, Palette};
use crate::screen::{Screen, Tone};

/// How often agentd is asked who waits, and seconds are counted down.
const TICK: Duration = Duration::from_secs(1);

/// Watches until the user leaves.
pub(super) fn run(daemon: &Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    fullscreen::must_be_possible(screen, "approvals watch", "agentctl approvals list")?;
    let mut model = Model::new();
    let palette = Palette { colors: screen.colors() };
    daemon.block_on(async {
        // The signals first, so that none ends this with the terminal changed; the keys after that, for they are raw.
        let ended = Ended::listen()?;
        let mut terminal = Fullscreen::enter(palette)?;
        let mut sources = Sources::open(daemon, Inputs::open(ended));
        watch(&mut model, &mut sources, &mut terminal, palette).await
    })?;
    match model.last_words() {
        Some(Status { tone: Tone::Bad, words }) => Err(Failure::Failed(words)),
        Some(Status { words, .. }) => Ok(screen.line(words).map(|()| Outcome::Done)?),
        None => Ok(Outcome::Done),
    }
}

async fn watch(
    model: &mut Model,
    sources: &mut Sources,
    terminal: &mut Fullscreen,
    palette: Palette,
) -> Result<(), Failure> {
    loop {
        // After each key: none is for something that was not on the screen.
        let now_ns = super::now_ns();
        let drawn = terminal.draw(|frame| view::draw(frame, model, now_ns, palette))?;
        model.set_drawn(drawn);
        let action = match sources.next().await? {
            Happened::Typed(event) => take(model, &event),
            Happened::Tick => Some(Action::Refresh),
            Happened::Ended => Some(Action::Leave),
            Happened::Said(Said::List(list)) => {
                sources.listing = false;
                model.list(list)
            }
            Happened::Said(Said::Looked(id, found)) => {
                model.looked(&id, found.as_deref());
                None
            }
            Happened::Said(Said::Outcome(id, outcome)) => model.outcome(&id, outcome.map(|view| *view)),
        };
        if sources.follow(action) {
            return Ok(());
        }
    }
}

fn take(model: &mut Model, event: &Event) -> Option<Action> {
    match event {
        Event::Key(key) => model.key(*key),
        Event::Paste(text) => {
            model.paste(text);
            None
        }
        Event::Resize(..) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

/// What happened last.
enum Happened {
    Typed(Event),
    Tick,
    /// Somebody wants this process to end.
    Ended,
    Said(Said),
}

/// Everything that is waited for, and the way to agentd.
struct Sources {
    inputs: Inputs,
    tick: Interval,
    jobs: UnboundedSender<Job>,
    said: UnboundedReceiver<Said>,
    /// Whether a list is under way: a slow agentd is not asked again and again.
    listing: bool,
}

impl Sources {
    fn open(daemon: &Daemon, inputs: Inputs) -> Self {
        let (jobs, asked) = unbounded_channel();
        let (says, said) = unbounded_channel();
        tokio::spawn(calls::serve(daemon.socket().to_owned(), asked, says));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { inputs, tick, jobs, said, listing: false }
    }

    async fn next(&mut self) -> Result<Happened, Failure> {
        tokio::select! {
            input = self.inputs.next() => Ok(match input? {
                Input::Typed(event) => Happened::Typed(event),
                Input::Ended => Happened::Ended,
            }),
            said = self.said.recv() => match said {
                Some(said) => Ok(Happened::Said(said)),
                None => Err(Failure::Failed("the calls to agentd came to an end".to_owned())),
            },
            _ = self.tick.tick() => Ok(Happened::Tick),
        }
    }

    /// Does what the model wants; whether that is to end. Jobs are never refused: the other side lives as long as this.
    fn follow(&mut self, action: Option<Action>) -> bool {
        let job = match action {
            None => return false,
            Some(Action::Leave) => return true,
            Some(Action::Refresh) if self.listing => return false,
            Some(Action::Refresh) => {
                self.listing = true;
                Job::List
            }
            Some(Action::Look(id)) => Job::Look(id),
            Some(Action::Answer(request)) => Job::Answer(request),
        };
        self.jobs.send(job).is_err()
    }
}
