//! "Did you mean": the nearest known word to one that is not known. Only for messages, never to decide.

/// Longest word that is compared; longer ones are no typing slips.
const MAX_WORD_BYTES: usize = 40;
/// Edits beyond which two words are no longer alike.
const MAX_EDITS: usize = 2;

/// `; did you mean ...?`, or nothing when no known word is near.
pub(crate) fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    match nearest(word, known) {
        Some(found) => format!("; did you mean `{found}`?"),
        None => String::new(),
    }
}

fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > MAX_WORD_BYTES {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let most = MAX_EDITS.min(word.len().div_ceil(3));
    known
        .into_iter()
        .map(|candidate| (edits(word.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Fewest insertions, deletions, replacements and swaps of neighbours from one word to the other.
fn edits(from: &[u8], to: &[u8]) -> usize {
    let width = to.len() + 1;
    let mut rows: Vec<usize> = (0..width).collect();
    let cell = |rows: &[usize], row: usize, column: usize| rows.get(row * width + column).copied();
    for (row, have) in from.iter().enumerate() {
        rows.push(row + 1);
        for (column, want) in to.iter().enumerate() {
            let change = usize::from(have != want);
            let mut best = cell(&rows, row, column).map_or(usize::MAX, |cost| cost + change);
            best = best.min(cell(&rows, row, column + 1).map_or(usize::MAX, |cost| cost + 1));
            best = best.min(cell(&rows, row + 1, column).map_or(usize::MAX, |cost| cost + 1));
            let swapped = row
                .checked_sub(1)
                .zip(column.checked_sub(1))
                .filter(|(r, c)| from.get(*r) == Some(want) && to.get(*c) == Some(have));
            if let Some((row, column)) = swapped {
                best = best.min(cell(&rows, row, column).map_or(usize::MAX, |cost| cost + 1));
            }
            rows.push(best);
        }
    }
    rows.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_that_was_meant() {
        let known = ["read", "write", "default", "connect"];
        for (typed, meant) in [
            ("raed", Some("read")),
            ("Read", Some("read")),
            ("wirte", Some("write")),
            ("defualt", Some("default")),
            ("conect", Some("connect")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, known), meant, "{typed}");
        }
    }
}
