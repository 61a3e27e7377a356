//! What commands on the whole screen share: the terminal, which is as before whatever way they end; keys and signals; calls
//! to an agentd that may go away and come back; and text that fits.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::time::Duration;

use agentguard_api::{Client, ClientError};
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, Event};
use ratatui::crossterm::{execute, style};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;
use ratatui::{DefaultTerminal, Frame};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::timeout;

use crate::exit::Failure;
use crate::screen::{Format, Screen, Tone};

/// Keys that wait to be taken; beyond that the terminal keeps them.
const MAX_TYPED: usize = 16;

/// agentd answers in milliseconds; a person who looks at the screen should not wonder for longer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Refuses where nobody would see it.
pub(crate) fn must_be_possible(screen: &Screen<'_>, command: &str, instead: &str) -> Result<(), Failure> {
    if screen.is_terminal() && io::stdin().is_terminal() && screen.format() == Format::Table {
        return Ok(());
    }
    Err(Failure::Usage(format!(
        "{command} draws on a terminal, and stdin or stdout is none (or -o is not table); use `{instead}`"
    )))
}

/// Which means there are to tell one thing from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Palette {
    pub(crate) colors: bool,
}

impl Palette {
    pub(crate) fn style(self, tone: Tone) -> Style {
        let style = Style::new();
        let color = |color| if self.colors { style.fg(color) } else { style };
        match tone {
            Tone::Plain => style,
            Tone::Good => color(Color::Green),
            Tone::Warn => color(Color::Yellow),
            Tone::Bad => color(Color::Red).add_modifier(Modifier::BOLD),
            Tone::Dim => style.add_modifier(Modifier::DIM),
            Tone::Strong => style.add_modifier(Modifier::BOLD),
        }
    }
}

/// The terminal while this runs. What `Drop` does is done for a panic as well, before its message.
pub(crate) struct Fullscreen(DefaultTerminal);

impl Fullscreen {
    pub(crate) fn enter(palette: Palette) -> Result<Self, Failure> {
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

    /// Draws, and hands on what drawing found out.
    pub(crate) fn draw<T: Default>(&mut self, draw: impl FnOnce(&mut Frame<'_>) -> T) -> Result<T, Failure> {
        let mut drawn = T::default();
        self.0.draw(|frame| drawn = draw(frame))?;
        Ok(drawn)
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

/// The signals by which somebody wants this process to end.
pub(crate) struct Ended([Signal; 3]);

impl Ended {
    /// From now on they end nothing by themselves.
    pub(crate) fn listen() -> io::Result<Self> {
        let [interrupt, terminate, hangup] =
            [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }
}

/// Keys, and the signals.
pub(crate) struct Inputs {
    typed: Receiver<io::Result<Event>>,
    ended: Ended,
}

/// What came last.
pub(crate) enum Input {
    Typed(Event),
    Ended,
}

impl Inputs {
    /// Reads keys from now on; the terminal should be in raw mode.
    pub(crate) fn open(ended: Ended) -> Self {
        let (types, typed) = channel(MAX_TYPED);
        // Ends with the process: a read of the terminal can not be called off.
        std::thread::spawn(move || while types.blocking_send(event::read()).is_ok() {});
        Self { typed, ended }
    }

    /// Loses nothing when it is dropped before it is done.
    pub(crate) async fn next(&mut self) -> io::Result<Input> {
        let Ended([interrupt, terminate, hangup]) = &mut self.ended;
        tokio::select! {
            _ = interrupt.recv() => Ok(Input::Ended),
            _ = terminate.recv() => Ok(Input::Ended),
            _ = hangup.recv() => Ok(Input::Ended),
            typed = self.typed.recv() => match typed {
                Some(event) => Ok(Input::Typed(event?)),
                None => Ok(Input::Ended),
            },
        }
    }
}

/// A connection to agentd that is made anew after a failure.
pub(crate) struct Reconnecting {
    socket: PathBuf,
    client: Option<Client>,
}

impl Reconnecting {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket, client: None }
    }

    /// One call. After a failure the next one connects anew: only that tells in clear words that agentd is away.
    pub(crate) async fn call<T>(
        &mut self,
        call: impl AsyncFnOnce(&mut Client) -> Result<T, ClientError>,
    ) -> Result<T, String> {
        let (socket, client) = (&self.socket, self.client.take());
        let answered = timeout(PATIENCE, async {
            let mut client = match client {
                Some(client) => client,
                None => Client::connect(socket).await?,
            };
            let answer = call(&mut client).await?;
            Ok::<_, ClientError>((client, answer))
        });
        match answered.await {
            Ok(Ok((client, answer))) => {
                self.client = Some(client);
                Ok(answer)
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_elapsed) => Err(format!("agentd did not answer within {} s", PATIENCE.as_secs())),
        }
    }
}

/// Columns of a character.
pub(crate) fn columns(character: char) -> usize {
    Span::raw(character.encode_utf8(&mut [0; 4]) as &str).width()
}

/// At most so many columns, the last an ellipsis where something is missing.
pub(crate) fn fit(words: &str, room: usize) -> String {
    if Span::raw(words).width() <= room {
        return words.to_owned();
    }
    let mut used = 1;
    let kept = words.chars().take_while(|character| {
        used += columns(*character);
        used <= room
    });
    let mut kept: String = kept.collect();
    kept.push('…');
    kept
}

/// Filled up with spaces.
pub(crate) fn pad(words: &str, width: usize) -> String {
    let gap = width.saturating_sub(Span::raw(words).width());
    format!("{words}{}", " ".repeat(gap))
}
