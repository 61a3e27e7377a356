//! `approvals watch`: who waits, on the whole screen, with keys to answer.
//!
//! keys, ticks, agentd's answers -> model -> view. The model decides, the view draws, `calls` talks to agentd; here is
//! only the loop between them and the terminal, which is as before whatever way this ends.

mod calls;
mod model;
#[cfg(test)]
mod tests;
mod view;

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::{execute, style};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::time::{Interval, MissedTickBehavior, interval};

use calls::{Job, Said};
use model::{Action, Model, Status};
use view::Palette;

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::screen::{Format, Screen, Tone};

/// How often agentd is asked who waits, and seconds are counted down.
const TICK: Duration = Duration::from_secs(1);

/// Keys that wait to be taken; beyond that the terminal keeps them.
const MAX_TYPED: usize = 16;

/// Watches until the user leaves.
pub(super) fn run(daemon: &Daemon, screen: &mut Screen<'_>) -> Result<Outcome, Failure> {
    if !screen.is_terminal() || !io::stdin().is_terminal() || screen.format() != Format::Table {
        return Err(Failure::Usage(
            "approvals watch draws on a terminal, and stdin or stdout is none (or -o is not table); use \
             `agentctl approvals list`"
                .to_owned(),
        ));
    }
    let mut model = Model::new();
    let palette = Palette { colors: screen.colors() };
    daemon.block_on(async {
        // The signals first, so that none ends this with the terminal changed; the keys after that, for they are raw.
        let ended = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        let [interrupt, terminate, hangup] = ended;
        let ended = [interrupt?, terminate?, hangup?];
        let mut terminal = Fullscreen::enter(palette)?;
        let mut sources = Sources::open(daemon, ended);
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
        terminal.draw(model, palette)?;
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
    typed: Receiver<io::Result<Event>>,
    tick: Interval,
    ended: [Signal; 3],
    jobs: UnboundedSender<Job>,
    said: UnboundedReceiver<Said>,
    /// Whether a list is under way: a slow agentd is not asked again and again.
    listing: bool,
}

impl Sources {
    fn open(daemon: &Daemon, ended: [Signal; 3]) -> Self {
        let (jobs, asked) = unbounded_channel();
        let (says, said) = unbounded_channel();
        tokio::spawn(calls::serve(daemon.socket().to_owned(), asked, says));
        let (types, typed) = channel(MAX_TYPED);
        // Ends with the process: a read of the terminal can not be called off.
        std::thread::spawn(move || while types.blocking_send(event::read()).is_ok() {});
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        Self { typed, tick, ended, jobs, said, listing: false }
    }

    async fn next(&mut self) -> Result<Happened, Failure> {
        let [interrupt, terminate, hangup] = &mut self.ended;
        tokio::select! {
            _ = interrupt.recv() => Ok(Happened::Ended),
            _ = terminate.recv() => Ok(Happened::Ended),
            _ = hangup.recv() => Ok(Happened::Ended),
            typed = self.typed.recv() => match typed {
                Some(event) => Ok(Happened::Typed(event?)),
                None => Ok(Happened::Ended),
            },
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

/// The terminal while this runs. What `Drop` does is done for a panic as well, before its message.
struct Fullscreen(DefaultTerminal);

impl Fullscreen {
    fn enter(palette: Palette) -> Result<Self, Failure> {
        style::force_color_output(palette.colors);
        let entered = ratatui::try_init().and_then(|terminal| {
            execute!(io::stdout(), EnableBracketedPaste)?;
            Ok(Self(terminal))
        });
        if entered.is_err() {
            let _ = ratatui::try_restore();
        }
        Ok(entered?)
    }

    fn draw(&mut self, model: &mut Model, palette: Palette) -> Result<(), Failure> {
        let now_ns = super::now_ns();
        let mut drawn = None;
        self.0.draw(|frame| drawn = Some(view::draw(frame, model, now_ns, palette)))?;
        if let Some(drawn) = drawn {
            model.set_drawn(drawn);
        }
        Ok(())
    }
}

impl Drop for Fullscreen {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing more.
        let _ = execute!(io::stdout(), DisableBracketedPaste);
        let _ = self.0.show_cursor();
        let _ = ratatui::try_restore();
    }
}
