//! Paths in permission rules of Claude Code: patterns as in `.gitignore`, with a root of their own.

use agentguard_core::pattern::Pattern;

/// The patterns of a spec that stand for one path of a rule; the error says why there are none.
pub(super) fn patterns(text: &str) -> Result<Vec<String>, &'static str> {
    if text.starts_with('!') {
        return Err("a pattern with `!` takes something back, which a spec says by being more specific");
    }
    let (root, below) = match text {
        // `//x` is from the root of the file system, `/x` from the directory of the settings, `x` and `./x` from where
        // Claude Code runs; the last two are the workspace here.
        _ if text.starts_with("//") => ("", text.trim_start_matches('/').to_owned()),
        "~" => ("${home}", String::new()),
        _ if text.starts_with("~/") => ("${home}", text.trim_start_matches(['~', '/']).to_owned()),
        _ if text.starts_with('/') => ("${workspace}", text.trim_start_matches('/').to_owned()),
        _ => ("${workspace}", floating(text.strip_prefix("./").unwrap_or(text))),
    };
    if below.split('/').any(|part| part == "..") {
        return Err("it leaves its directory by `..`; write the path from `//`");
    }
    let parts: Vec<String> =
        below.split('/').filter(|part| !matches!(*part, "" | ".")).map(plain_part).collect();
    let whole = parts.last().is_some_and(|last| last == "**");
    let named = if whole { parts.get(..parts.len() - 1).unwrap_or_default() } else { parts.as_slice() };
    let path: String = named.iter().map(|part| format!("/{part}")).collect();
    let path = format!("{root}{path}");
    if path.is_empty() {
        return Err("it stands for every file of the host; name directories");
    }
    // A directory stands for what is in it.
    let found = [path.clone(), format!("{path}/**")];
    let valid = found.iter().all(|pattern| Pattern::parse(&with_roots(pattern)).is_ok());
    if valid { Ok(found.to_vec()) } else { Err("it is no pattern that a spec takes") }
}

/// A pattern with directories in the place of its variables, so that it can be read and compared.
pub(super) fn with_roots(pattern: &str) -> String {
    pattern.replacen("${workspace}", "/workspace", 1).replacen("${home}", "/home", 1)
}

/// A name without a directory is meant at any depth.
fn floating(text: &str) -> String {
    let inner = text.trim_end_matches('/');
    if inner.contains('/') || inner.is_empty() || inner == "**" {
        text.to_owned()
    } else {
        format!("**/{text}")
    }
}

/// One name. Braces and commas are no wildcards in `.gitignore`, and stars beside other letters are one star.
fn plain_part(part: &str) -> String {
    if part == "**" {
        return part.to_owned();
    }
    let (mut plain, mut escaped, mut after_star) = (String::with_capacity(part.len()), false, false);
    for letter in part.chars() {
        let star = letter == '*' && !escaped;
        if matches!(letter, '{' | '}' | ',') && !escaped {
            plain.push('\\');
        }
        if !star || !after_star {
            plain.push(letter);
        }
        after_star = star;
        escaped = letter == '\\' && !escaped;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_root_is_known() {
        for (text, wanted) in [
            ("//var/log/**", ["/var/log", "/var/log/**"]),
            ("~/.zshrc", ["${home}/.zshrc", "${home}/.zshrc/**"]),
            ("/src/**", ["${workspace}/src", "${workspace}/src/**"]),
            ("./out", ["${workspace}/**/out", "${workspace}/**/out/**"]),
            ("src/*.rs", ["${workspace}/src/*.rs", "${workspace}/src/*.rs/**"]),
            ("*.env", ["${workspace}/**/*.env", "${workspace}/**/*.env/**"]),
            ("**/secrets/**", ["${workspace}/**/secrets", "${workspace}/**/secrets/**"]),
            ("**", ["${workspace}", "${workspace}/**"]),
            ("**.env", ["${workspace}/**/*.env", "${workspace}/**/*.env/**"]),
            ("/a\\**b", ["${workspace}/a\\**b", "${workspace}/a\\**b/**"]),
            ("a{b,c}", ["${workspace}/**/a\\{b\\,c\\}", "${workspace}/**/a\\{b\\,c\\}/**"]),
        ] {
            assert_eq!(patterns(text).expect(text), wanted, "{text}");
        }
        for text in ["!x", "//", "//**", "../x", "[x"] {
            assert!(patterns(text).is_err(), "{text}");
        }
    }
}
