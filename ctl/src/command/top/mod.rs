//! `top`: what happens on this host now, on the whole screen, once a second.
//!
//! keys, looks at agentd -> model -> view. Goes on when agentd goes away, and finds it again when it comes back.

mod model;
#[cfg(test)]
mod tests;
mod view;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use agentguard_api::v1::ApprovalsRequest;
use ratatui::crossterm::event::Event;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::time::{MissedTickBehavior, interval};

use crate::daemon::Daemon;
use crate::exit::{Failure, Outcome};
use crate::fullscreen::{self, Ended, Fullscreen, Input, Inputs, Palette, Reconnecting};
use crate::screen::Screen;
use model::{Action, Look, Model};

/// Often enough to see what grows; agentd counts the whole time.
const TICK: Duration = Duration::from_secs(1);

/// Shows it until the user leaves.
pub(crate) fn run(daemon: &Daemon, screen: &Screen<'_>) -> Result<Outcome, Failure> {
    fullscreen::must_be_possible(screen, "top", "agentctl status` and `agentctl agents")?;
    let palette = Palette { colors: screen.colors() };
    daemon.block_on(async {
        let ended = Ended::listen()?;
        let mut terminal = Fullscreen::enter(palette)?;
        let mut inputs = Inputs::open(ended);
        let mut looks = looks(Reconnecting::at(daemon.socket().to_owned()));
        let mut model = Model::new();
        loop {
            terminal.draw(|frame| view::draw(frame, &model, palette))?;
            tokio::select! {
                input = inputs.next() => match input? {
                    Input::Ended => return Ok(Outcome::Done),
                    Input::Typed(Event::Key(key)) if model.key(key) == Some(Action::Leave) => {
                        return Ok(Outcome::Done);
                    }
                    Input::Typed(_) => {}
                },
                look = looks.recv() => match look {
                    Some(look) => model.look(look),
                    None => return Err(Failure::Failed("the calls to agentd came to an end".to_owned())),
                },
            }
        }
    })
}

/// Looks at agentd beside the keys: a slow agentd must not keep a person from leaving.
fn looks(mut agentd: Reconnecting) -> Receiver<Result<Look, String>> {
    let (says, said) = channel(1);
    tokio::spawn(async move {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if says.send(look(&mut agentd).await).await.is_err() {
                return;
            }
        }
    });
    said
}

async fn look(agentd: &mut Reconnecting) -> Result<Look, String> {
    let request = ApprovalsRequest { id: String::new(), all: false };
    let answers = async |client: &mut agentguard_api::Client| {
        Ok((client.status().await?, client.agents().await?, client.approvals(request).await?))
    };
    let (status, agents, waiting) = agentd.call(answers).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
    Ok(Look { time_ns, status, agents, waiting })
}
