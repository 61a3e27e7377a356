//! Whether two patterns have a text in common, by following both at once.

use std::collections::HashSet;

use agentguard_core::pattern::{ByteSet, Node, Pattern};

/// One step of a pattern that is read byte by byte.
enum Step {
    /// A byte of this set.
    One(ByteSet),
    /// Goes on with the next step, and with this one.
    Split(usize),
    /// Goes on with this one.
    Jump(usize),
}

/// Whether some text matches both.
pub(super) fn meet(left: &Pattern, right: &Pattern) -> bool {
    let (left, right) = (steps(left), steps(right));
    let (mut open, mut seen) = (vec![(0, 0)], HashSet::new());
    while let Some((at, other)) = open.pop() {
        if !seen.insert((at, other)) {
            continue;
        }
        match (left.get(at), right.get(other)) {
            (Some(Step::Split(to)), _) => open.extend([(at + 1, other), (*to, other)]),
            (Some(Step::Jump(to)), _) => open.push((*to, other)),
            (_, Some(Step::Split(to))) => open.extend([(at, other + 1), (at, *to)]),
            (_, Some(Step::Jump(to))) => open.push((at, *to)),
            (Some(Step::One(one)), Some(Step::One(two))) => {
                if one.bytes().any(|byte| two.contains(byte)) {
                    open.push((at + 1, other + 1));
                }
            }
            (None, None) => return true,
            (Some(Step::One(_)), None) | (None, Some(Step::One(_))) => {}
        }
    }
    false
}

fn steps(pattern: &Pattern) -> Vec<Step> {
    let mut steps = Vec::new();
    sequence(pattern.nodes(), &mut steps);
    steps
}

fn sequence(nodes: &[Node], steps: &mut Vec<Step>) {
    for node in nodes {
        match node {
            Node::Byte(byte) => steps.push(Step::One(only(*byte))),
            Node::Class(set) => steps.push(Step::One(*set)),
            Node::Star => {
                let mut set = ByteSet::ALL;
                set.remove(b'/');
                run(set, steps);
            }
            Node::Any => run(ByteSet::ALL, steps),
            Node::Gap => or_else(steps, |steps| {
                run(ByteSet::ALL, steps);
                steps.push(Step::One(only(b'/')));
            }),
            Node::Group(branches) => group(branches, steps),
        }
    }
}

fn only(byte: u8) -> ByteSet {
    let mut set = ByteSet::default();
    set.insert(byte);
    set
}

/// Any number of bytes of a set.
fn run(set: ByteSet, steps: &mut Vec<Step>) {
    let start = steps.len();
    or_else(steps, |steps| steps.extend([Step::One(set), Step::Jump(start)]));
}

fn group(branches: &[Vec<Node>], steps: &mut Vec<Step>) {
    let mut ends = Vec::new();
    for branch in branches {
        or_else(steps, |steps| {
            sequence(branch, steps);
            ends.push(steps.len());
            steps.push(Step::Jump(0));
        });
    }
    // Behind the last branch there is no other.
    steps.push(Step::One(ByteSet::default()));
    let behind = steps.len();
    for end in ends {
        replace(steps, end, Step::Jump(behind));
    }
}

/// These steps, or else what comes behind them.
fn or_else(steps: &mut Vec<Step>, write: impl FnOnce(&mut Vec<Step>)) {
    let start = steps.len();
    steps.push(Step::Split(0));
    write(steps);
    let behind = steps.len();
    replace(steps, start, Step::Split(behind));
}

fn replace(steps: &mut [Step], at: usize, step: Step) {
    if let Some(place) = steps.get_mut(at) {
        *place = step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_one_text_matches_both() {
        for (left, right, wanted) in [
            ("/a/**/.env", "/a/src/**", true),
            ("/a/**/.env", "/a/.env", true),
            ("/a/**/.env", "/a/*.md", false),
            ("/a/**/.env/**", "/a/*", false),
            ("/a/*.test.ts", "/a/s*", true),
            ("/a/{b,c/d}/*", "/a/c/**/e", true),
            ("/a/{b,c}/*", "/a/d/**", false),
            ("/a/[0-9]*", "/a/?b", true),
            ("/a/[0-9]*", "/a/b?", false),
            ("/**/x", "/x", true),
            ("argv:{git,*/git} push *", "argv:* --force", true),
            ("argv:{git,*/git} push", "argv:* --force", false),
        ] {
            let [left, right] = [left, right].map(|text| Pattern::parse(text).expect(text));
            assert_eq!((meet(&left, &right), meet(&right, &left)), (wanted, wanted), "{left} {right}");
        }
    }
}
