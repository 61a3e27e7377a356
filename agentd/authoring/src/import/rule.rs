//! One permission rule of Claude Code: `Tool` or `Tool(specifier)`.

/// A rule, with what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Rule<'r> {
    /// `Bash(…)`; none is every command.
    Command(Option<&'r str>),
    /// `Read(…)`, `Glob`, `Grep`; none is every file.
    Read(Option<&'r str>),
    /// `Edit(…)`, `Write(…)` and the other editors.
    Edit(Option<&'r str>),
    /// `WebFetch(domain:…)`; none is every host.
    Fetch(Option<&'r str>),
    /// Something that happens in Claude Code itself, and why it is no grant.
    Other(&'static str),
}

/// Reads a rule.
pub(super) fn parse(text: &str) -> Rule<'_> {
    let text = text.trim();
    let (tool, specifier) = match text.split_once('(') {
        Some((tool, rest)) => (tool, Some(rest.strip_suffix(')').unwrap_or(rest).trim())),
        None => (text, None),
    };
    let specifier = specifier.filter(|specifier| !matches!(*specifier, "" | "*"));
    match tool {
        "Bash" => Rule::Command(specifier),
        "Read" | "Glob" | "Grep" | "LS" | "NotebookRead" => Rule::Read(specifier),
        "Edit" | "Write" | "MultiEdit" | "NotebookEdit" => Rule::Edit(specifier),
        "WebFetch" => match specifier.map(|specifier| specifier.strip_prefix("domain:")) {
            None | Some(Some("*")) => Rule::Fetch(None),
            Some(Some(domain)) => Rule::Fetch(Some(domain)),
            Some(None) => {
                Rule::Other("only `domain:` is known of WebFetch; grant the host in network.connect")
            }
        },
        "WebSearch" => Rule::Other("the search runs where the model runs, not on this host"),
        "PowerShell" => Rule::Other("PowerShell commands are not read; grant the programs in exec.allow"),
        _ if tool.starts_with("mcp__") => Rule::Other(
            "an MCP server is a process of its own; import the file that names it and give it a spec",
        ),
        _ => Rule::Other("it happens inside of Claude Code, the kernel does not see it"),
    }
}

/// Command lines that a specifier of `Bash` stands for, as patterns over the arguments. The program may also be called
/// by its path.
pub(super) fn command_lines(specifier: &str) -> Vec<String> {
    match specifier.strip_suffix(":*") {
        Some(prefix) => lines(prefix, true, pattern),
        None => lines(specifier, false, pattern),
    }
}

/// The same of a text that is a pattern already.
pub(crate) fn pattern_lines(text: &str) -> Vec<String> {
    lines(text, false, str::to_owned)
}

fn lines(text: &str, open: bool, pattern: impl Fn(&str) -> String) -> Vec<String> {
    let (prefix, open) = match text.strip_suffix(" *") {
        // A last ` *` also stands for nothing, if it is the only wildcard.
        Some(prefix) if !open && !prefix.contains('*') => (prefix, true),
        Some(_) | None => (text, open),
    };
    let (program, rest) = prefix
        .split_once(' ')
        .map_or((prefix, String::new()), |(program, rest)| (program, format!(" {}", pattern(rest))));
    let plain = !program.contains('/') && !program.contains('*');
    let program = pattern(program);
    let line = if plain { format!("{{{program},*/{program}}}{rest}") } else { format!("{program}{rest}") };
    if open { vec![line.clone(), format!("{line} *")] } else { vec![line] }
}

/// `*` stays; everything else means itself.
fn pattern(text: &str) -> String {
    let parts: Vec<String> = text.split('*').map(agentguard_core::pattern::Pattern::escape).collect();
    parts.join("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_claude_code_reads_them() {
        for (text, wanted) in [
            ("Bash", Rule::Command(None)),
            ("Bash(*)", Rule::Command(None)),
            ("Bash(npm run test:*)", Rule::Command(Some("npm run test:*"))),
            ("Read(~/.zshrc)", Rule::Read(Some("~/.zshrc"))),
            ("Write(./out/**)", Rule::Edit(Some("./out/**"))),
            ("WebFetch(domain:example.com)", Rule::Fetch(Some("example.com"))),
        ] {
            assert_eq!(parse(text), wanted, "{text}");
        }
        assert!(matches!(parse("mcp__github__get_issue"), Rule::Other(_)));
        assert!(matches!(parse("Task(Explore)"), Rule::Other(_)));
    }

    #[test]
    fn command_rules_become_patterns_over_arguments() {
        for (text, wanted) in [
            ("git push:*", vec!["{git,*/git} push", "{git,*/git} push *"]),
            ("git push *", vec!["{git,*/git} push", "{git,*/git} push *"]),
            ("npm test", vec!["{npm,*/npm} test"]),
            ("git * main", vec!["{git,*/git} * main"]),
            ("/opt/x --a=[b]", vec!["/opt/x --a=\\[b\\]"]),
        ] {
            assert_eq!(command_lines(text), wanted, "{text}");
        }
    }
}
