//! The model by its keys, and the view on a terminal that is none.

use agentguard_api::report::ApprovalView;
use agentguard_api::v1::AnswerRequest;
use agentguard_core::approval::{Reuse, State, Vote};
use agentguard_core::record::Object;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Modifier;

use super::model::{Action, Drawn, Mode, Model};
use super::view;
use crate::fullscreen::Palette;
use crate::samples::{NOON_NS, held_exec, held_open};

fn model(list: &[ApprovalView]) -> Model {
    let mut model = Model::new();
    model.set_drawn(Drawn { shown: true, page: 10, lines: 10 });
    assert_eq!(model.list(Ok(list.to_vec())), None);
    model
}

/// Types; `\n` is Enter, `\x1b` is Esc. What the last key came to.
fn keys(model: &mut Model, keys: &str) -> Option<Action> {
    let mut last = None;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\x1b' => KeyCode::Esc,
            key => KeyCode::Char(key),
        };
        last = model.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    last
}

fn answer(id: &str, allow: bool, because: &str, seconds: u32, session: bool) -> Option<Action> {
    let (id, because) = (id.to_owned(), because.to_owned());
    Some(Action::Answer(AnswerRequest { id, allow, because, seconds, session }))
}

fn selected(model: &Model) -> Option<&str> {
    model.selected().map(|(_, one)| one.id.0.as_str())
}

fn said(model: &Model) -> String {
    model.status().map(|status| status.words).unwrap_or_default()
}

fn settled(mut one: ApprovalView, state: State) -> ApprovalView {
    let allow = state == State::Approved;
    let by = "uid 1001 (bob)".to_owned();
    one.votes.push(Vote { by, allow, because: "seen".to_owned(), reuse: Reuse::Once, time_ns: NOON_NS });
    one.state = state;
    one
}

#[test]
fn an_approval_goes_as_far_as_was_chosen() {
    for (typed, seconds, session) in [("ao\n", 0, false), ("at\n", 600, false), ("as\n", 0, true)] {
        let mut model = model(&[held_exec(7)]);
        assert_eq!(keys(&mut model, typed), answer("i-0007", true, "", seconds, session));
    }
}

#[test]
fn a_denial_takes_the_justification_as_typed() {
    let mut model = model(&[held_exec(7)]);
    assert_eq!(keys(&mut model, "dnot q, j or a\n"), answer("i-0007", false, "not q, j or a", 0, false));
}

#[test]
fn a_critical_one_is_not_answered_without_a_word() {
    for typed in ["ao \n", "d\n"] {
        let mut model = model(&[held_open(8)]);
        assert_eq!(keys(&mut model, typed), None);
        assert!(said(&model).contains("needs a justification"));
        assert!(matches!(model.mode(), Mode::Because { .. }));
        assert!(matches!(keys(&mut model, "ok\n"), Some(Action::Answer(_))));
    }
}

#[test]
fn esc_goes_back_one_step_and_answers_nothing() {
    let mut model = model(&[held_exec(7)]);
    assert_eq!(keys(&mut model, "atwhy\x1b"), None);
    assert!(matches!(model.mode(), Mode::HowFar { .. }));
    assert_eq!(keys(&mut model, "\x1b"), None);
    assert_eq!(*model.mode(), Mode::Browse);
    assert_eq!(keys(&mut model, "dwhy\x1b\n"), None);
    assert_eq!(*model.mode(), Mode::Browse);
}

#[test]
fn the_selection_stays_with_the_approval_when_others_come_and_go() {
    let mut model = model(&[held_exec(5), held_exec(7)]);
    keys(&mut model, "j");
    assert_eq!(selected(&model), Some("i-0007"));
    model.list(Ok(vec![held_exec(9), held_open(8), held_exec(7), held_exec(1)]));
    assert_eq!(selected(&model), Some("i-0007"));
    model.list(Ok(vec![held_exec(7)]));
    assert_eq!(selected(&model), Some("i-0007"));
}

#[test]
fn an_answer_ends_with_the_approval_it_is_for() {
    for typed in ["a", "at", "aofine", "dno"] {
        let mut model = model(&[held_exec(7), held_open(8)]);
        keys(&mut model, typed);
        let action = model.list(Ok(vec![held_open(8)]));
        assert_eq!(action, Some(Action::Look(held_exec(7).id)));
        assert!(said(&model).contains("your answer was not sent"), "{}", said(&model));
        assert_eq!(selected(&model), None);
        assert_eq!(keys(&mut model, "just do it"), None, "{typed}");
        assert_eq!((model.mode(), selected(&model)), (&Mode::Dropped, None));
        assert_eq!(keys(&mut model, "\n"), None, "{typed}");
        assert_eq!(keys(&mut model, "jdx\n"), answer("i-0008", false, "x", 0, false));
    }
}

#[test]
fn what_is_typed_without_a_selection_is_no_row_of_keys() {
    let mut model = model(&[held_exec(7), held_open(8)]);
    model.list(Ok(vec![held_open(8)]));
    assert_eq!(keys(&mut model, "aojust do it\n"), None);
    assert_eq!((model.mode(), selected(&model)), (&Mode::Browse, None));
}

#[test]
fn the_same_id_with_another_fingerprint_is_another_question() {
    let mut model = model(&[held_exec(7)]);
    keys(&mut model, "aofine");
    let mut other = held_exec(7);
    other.sha256 = "b".repeat(64);
    assert!(matches!(model.list(Ok(vec![other.clone()])), Some(Action::Look(_))));
    assert_eq!(keys(&mut model, "\n"), None);
    assert_eq!(selected(&model), None);
    model.looked(&other.id, Some(&other));
    assert_eq!(said(&model), "i-0007 asks for something else now; your answer was not sent");
}

#[test]
fn says_what_became_of_the_one_that_was_lost() {
    let mut model = model(&[held_exec(7)]);
    keys(&mut model, "ao");
    model.list(Ok(Vec::new()));
    model.looked(&held_exec(7).id, Some(&settled(held_exec(7), State::Denied)));
    assert_eq!(said(&model), "i-0007 denied by uid 1001 (bob): seen; your answer was not sent");
}

#[test]
fn one_that_is_settled_but_still_told_is_not_pending() {
    let mut model = model(&[held_exec(7)]);
    keys(&mut model, "ao");
    assert!(matches!(model.list(Ok(vec![settled(held_exec(7), State::Approved)])), Some(Action::Look(_))));
    assert!(model.pending().is_empty());
}

#[test]
fn the_outcome_is_told_and_nothing_is_selected_for_the_next_key() {
    let mut model = model(&[held_exec(7), held_open(8)]);
    keys(&mut model, "ao\n");
    let outcome = Ok(settled(held_exec(7), State::Approved));
    assert_eq!(model.outcome(&held_exec(7).id, outcome), Some(Action::Refresh));
    assert_eq!((said(&model).as_str(), selected(&model)), ("i-0007 approved", None));
    keys(&mut model, "j");
    assert_eq!(selected(&model), Some("i-0008"));
}

#[test]
fn a_vote_that_is_not_enough_leaves_it_pending() {
    let mut model = model(&[held_exec(7)]);
    keys(&mut model, "ao\n");
    let mut view = settled(held_exec(7), State::Approved);
    (view.state, view.needed) = (State::Pending, 2);
    model.outcome(&view.id.clone(), Ok(view));
    assert_eq!(
        (said(&model).as_str(), selected(&model)),
        ("i-0007 waits for 1 more approval", Some("i-0007"))
    );
}

#[test]
fn one_answer_is_on_its_way_at_a_time() {
    let mut model = model(&[held_exec(7), held_open(8)]);
    keys(&mut model, "ao\n");
    assert_eq!(keys(&mut model, "jdx\n"), None);
    model.outcome(&held_exec(7).id, Err("it is expired\x1b[2J already".to_owned()));
    assert_eq!(said(&model), "i-0007: it is expired\\u{1b}[2J already");
}

#[test]
fn q_waits_for_the_outcome_of_an_answer_and_leaves_otherwise() {
    let mut model = model(&[held_exec(7)]);
    assert_eq!(keys(&mut model, "q"), Some(Action::Leave));
    keys(&mut model, "ao\n");
    assert_eq!(keys(&mut model, "q"), None);
    assert!(model.last_words().unwrap().words.starts_with("left before agentd said"));
    let outcome = Ok(settled(held_exec(7), State::Approved));
    assert_eq!(model.outcome(&held_exec(7).id, outcome), Some(Action::Leave));
    assert_eq!(model.last_words().map(|status| status.words).as_deref(), Some("i-0007 approved"));
}

#[test]
fn ctrl_c_leaves_whatever_is_typed() {
    for typed in ["", "?", "a", "aowhy"] {
        let mut model = model(&[held_exec(7)]);
        keys(&mut model, typed);
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(model.key(key), Some(Action::Leave));
    }
}

#[test]
fn what_is_pasted_is_a_justification_or_nothing() {
    let mut model = model(&[held_exec(7)]);
    model.paste("ao\nfine\n");
    assert_eq!(*model.mode(), Mode::Browse);
    keys(&mut model, "d");
    model.paste("two\nlines\x1b\n");
    assert_eq!(keys(&mut model, "\n"), answer("i-0007", false, "two lines", 0, false));
}

#[test]
fn a_terminal_that_shows_no_details_answers_nothing() {
    let mut model = model(&[held_exec(7)]);
    keys(&mut model, "ao");
    model.set_drawn(Drawn { shown: false, page: 0, lines: 0 });
    assert_eq!(keys(&mut model, "\n"), None);
    assert_eq!(keys(&mut model, "\x1b\x1bao\n"), None);
}

#[test]
fn an_agentd_that_is_away_leaves_the_list_as_it_was() {
    let mut model = model(&[held_exec(7)]);
    model.list(Err("agentd is not running".to_owned()));
    assert_eq!((said(&model).as_str(), selected(&model)), ("agentd is not running", Some("i-0007")));
    model.list(Ok(vec![held_exec(7)]));
    assert_eq!(said(&model), "");
}

const PLAIN: Palette = Palette { colors: false };

fn drawn(model: &mut Model, width: u16, height: u16) -> TestBackend {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut drawn = None;
    terminal.draw(|frame| drawn = Some(view::draw(frame, model, NOON_NS, PLAIN))).unwrap();
    model.set_drawn(drawn.unwrap());
    terminal.backend().clone()
}

fn some() -> Vec<ApprovalView> {
    let mut urgent = held_open(8);
    urgent.deadline_ns = NOON_NS + 29_000_000_000;
    vec![held_exec(7), urgent, held_exec(9)]
}

#[test]
fn who_waits_is_above_and_the_selected_one_below() {
    insta::assert_snapshot!(drawn(&mut model(&some()), 80, 24));
}

#[test]
fn the_rest_of_the_details_can_be_scrolled_to() {
    let mut model = model(&some());
    drawn(&mut model, 80, 24);
    for _ in 0..9 {
        model.key(KeyEvent::new(KeyCode::PageDown, KeyModifiers::NONE));
    }
    insta::assert_snapshot!(drawn(&mut model, 80, 24));
}

#[test]
fn an_answer_names_what_it_is_for() {
    let mut model = model(&some());
    keys(&mut model, "ja");
    insta::assert_snapshot!("an_answer_asks_how_far_it_goes", drawn(&mut model, 80, 24));
    keys(&mut model, "tthe key is rotated today");
    insta::assert_snapshot!("an_answer_asks_why", drawn(&mut model, 80, 24));
    keys(&mut model, &"x".repeat(100));
    let row: String =
        (0..80).map(|column| drawn(&mut model, 80, 24).buffer()[(column, 21)].symbol().to_owned()).collect();
    assert!(row.starts_with("> xxx") && row.ends_with("xx "), "{row}");
}

#[test]
fn what_is_not_there_is_told() {
    let mut nobody = model(&[]);
    insta::assert_snapshot!("nobody_waits", drawn(&mut nobody, 60, 12));
    let mut away = Model::new();
    away.list(Err("agentd is not running (no answer on /run/agentguard/agentd.sock)".to_owned()));
    insta::assert_snapshot!("agentd_is_away", drawn(&mut away, 60, 12));
    let mut lost = model(&some());
    keys(&mut lost, "ao");
    lost.list(Ok(vec![held_exec(9)]));
    insta::assert_snapshot!("the_answered_one_is_gone", drawn(&mut lost, 80, 12));
}

#[test]
fn the_keys_are_explained() {
    let mut model = model(&some());
    keys(&mut model, "?");
    insta::assert_snapshot!(drawn(&mut model, 80, 24));
}

#[test]
fn what_agents_write_stays_text_and_is_complete() {
    let mut one = held_exec(7);
    let evil = "\x1b[2J\x07 x\u{202e}y \u{4e16}\u{754c} ".repeat(12);
    if let Object::Exec { argv, .. } = &mut one.record.object {
        argv.push(evil.clone());
    }
    one.reason = evil.clone();
    one.record.agent.0 = evil.clone();
    one.asker.process.cwd = evil;
    let mut model = model(&[one]);
    let text = drawn(&mut model, 80, 60).to_string();
    assert!(
        !text.replace('\n', "").chars().any(|character| character.is_control() || character == '\u{202e}')
    );
    assert!(text.matches("\\u{1b}[2J\\u{7} x").count() >= 24, "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn time_that_is_short_stands_out_without_colours() {
    let buffer = drawn(&mut model(&some()), 80, 24).buffer().clone();
    let reversed = |row| buffer[(2, row)].modifier.contains(Modifier::REVERSED);
    assert_eq!([reversed(2), reversed(3), reversed(4)], [false, true, false]);
}

#[test]
fn every_size_can_be_drawn() {
    for typed in ["", "?", "ja", "aox", "jjd"] {
        for (width, height) in [(1, 1), (39, 30), (40, 12), (41, 13), (80, 24), (300, 100)] {
            let mut model = model(&some());
            keys(&mut model, typed);
            drawn(&mut model, width, height);
        }
    }
}

#[test]
fn the_selected_one_is_shown_in_a_long_list() {
    let list: Vec<_> = (1..40).map(held_exec).collect();
    let mut model = model(&list);
    keys(&mut model, &"j".repeat(30));
    insta::assert_snapshot!(drawn(&mut model, 80, 24));
}
