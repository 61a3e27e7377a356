//! What a Rego file declares, read from its text alone: package, rule heads, ids and references, each with its
//! line. The engine knows these too, but does not say where a value was written.
//!
//! This is no parser: a file reaches it only after the engine has parsed it, and it must never decide anything.

/// A file's declarations in the order of its lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    pub(crate) package: Option<(String, u32)>,
    pub(crate) heads: Vec<Head>,
    pub(crate) ids: Vec<Id>,
    pub(crate) references: Vec<(String, u32)>,
}

/// The first line of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) name: String,
    pub(crate) line: u32,
}

/// A literal `"id": "…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) value: String,
    /// The rule that it is written in.
    pub(crate) rule: String,
    pub(crate) line: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A name with its dotted parts: `input.agent.tier`.
    Name(String),
    Text(String),
    Mark(char),
}

impl Outline {
    pub(crate) fn of(source: &str) -> Self {
        let tokens = tokens(source);
        let mut outline = Self::default();
        let mut depth = 0_u32;
        let mut previous_line = 0;
        for (position, (token, line)) in tokens.iter().enumerate() {
            let first_on_line = *line != previous_line;
            previous_line = *line;
            match token {
                Token::Mark('(' | '[' | '{') => depth = depth.saturating_add(1),
                Token::Mark(')' | ']' | '}') => depth = depth.saturating_sub(1),
                Token::Name(name) if depth == 0 && first_on_line => {
                    outline.statement(name, tokens.get(position + 1).map(|(next, _)| next), *line);
                }
                Token::Text(key) if key == "id" => {
                    let value = match tokens.get(position + 1..position + 3) {
                        Some([(Token::Mark(':'), _), (Token::Text(value), _)]) => value.clone(),
                        _ => continue,
                    };
                    let rule = outline.heads.last().map(|head| head.name.clone()).unwrap_or_default();
                    outline.ids.push(Id { value, rule, line: *line });
                }
                Token::Mark(_) | Token::Name(_) | Token::Text(_) => {}
            }
            if let Token::Name(name) = token
                && (name == "input" || name.starts_with("input.") || name.starts_with("data."))
            {
                outline.references.push((name.clone(), *line));
            }
        }
        outline
    }

    /// The first line of a rule of this name.
    pub(crate) fn head(&self, name: &str) -> Option<u32> {
        self.heads.iter().find(|head| head.name == name).map(|head| head.line)
    }

    /// What begins at the start of a line, outside of any bracket.
    fn statement(&mut self, word: &str, next: Option<&Token>, line: u32) {
        let name = match (word, next) {
            ("package", Some(Token::Name(name))) => {
                self.package = Some((name.clone(), line));
                return;
            }
            ("import" | "else" | "package", _) => return,
            ("default", Some(Token::Name(name))) => name,
            _ => word,
        };
        let name = name.split('.').next().unwrap_or(name).to_owned();
        self.heads.push(Head { name, line });
    }
}

fn tokens(source: &str) -> Vec<(Token, u32)> {
    let mut tokens = Vec::new();
    let mut line = 1_u32;
    let mut rest = source.chars().peekable();
    while let Some(first) = rest.next() {
        let start = line;
        let token = match first {
            '\n' => {
                line = line.saturating_add(1);
                continue;
            }
            '#' => {
                while rest.next_if(|next| *next != '\n').is_some() {}
                continue;
            }
            '"' => Token::Text(quoted(&mut rest)),
            '`' => {
                let text: String = rest.by_ref().take_while(|next| *next != '`').collect();
                line = line.saturating_add(u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX));
                Token::Text(text)
            }
            _ if first == '_' || first.is_alphabetic() => {
                let mut name = String::from(first);
                while let Some(next) =
                    rest.next_if(|next| matches!(next, '_' | '.') || next.is_alphanumeric())
                {
                    name.push(next);
                }
                Token::Name(name)
            }
            _ if first.is_whitespace() => continue,
            _ => Token::Mark(first),
        };
        tokens.push((token, start));
    }
    tokens
}

/// The text of a quoted string, its escapes left as they are: ids have none.
fn quoted(rest: &mut impl Iterator<Item = char>) -> String {
    let mut text = String::new();
    while let Some(next) = rest.next() {
        match next {
            '"' => break,
            '\\' => {
                text.push(next);
                text.extend(rest.next());
            }
            _ => text.push(next),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"# a comment with "id": "no"
package agentguard.filesystem

import rego.v1

default quiet := false

guardrails contains g if {
	some g in always
	input.agent.tier > 2 # input.agent.comment
}

always := [
	{"id": "ssh_keys", "path": `/x
y`},
	{"id": "second"},
]

deny contains {"id": "large_read"} if input.request.read_bytes > data.limits.read

home := x if {
	x := 1
} else := 2
"#;

    #[test]
    fn finds_package_and_rule_heads_with_lines() {
        let outline = Outline::of(SOURCE);
        assert_eq!(outline.package, Some(("agentguard.filesystem".to_owned(), 2)));
        let heads: Vec<_> = outline.heads.iter().map(|head| (head.name.as_str(), head.line)).collect();
        assert_eq!(heads, [("quiet", 6), ("guardrails", 8), ("always", 13), ("deny", 19), ("home", 21)]);
    }

    #[test]
    fn finds_literal_ids_with_their_rule_and_line() {
        let ids: Vec<_> =
            Outline::of(SOURCE).ids.into_iter().map(|id| (id.value, id.rule, id.line)).collect();
        assert_eq!(
            ids,
            [
                ("ssh_keys".to_owned(), "always".to_owned(), 14),
                ("second".to_owned(), "always".to_owned(), 16),
                ("large_read".to_owned(), "deny".to_owned(), 19),
            ]
        );
    }

    #[test]
    fn finds_references_but_not_in_comments() {
        let references: Vec<_> = Outline::of(SOURCE).references;
        assert_eq!(
            references,
            [
                ("input.agent.tier".to_owned(), 10),
                ("input.request.read_bytes".to_owned(), 19),
                ("data.limits.read".to_owned(), 19),
            ]
        );
    }

    #[test]
    fn survives_text_that_is_cut_anywhere() {
        for end in 0..SOURCE.len() {
            if let Some(part) = SOURCE.get(..end) {
                let _ = Outline::of(part);
            }
        }
    }
}
