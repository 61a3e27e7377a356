//! Specs with a wanted number of grants. Ten of them let the work be done; the others are like what a large site writes.

use std::fmt::Write as _;
use std::path::Path;

/// One in so many further grants is an address, the others are paths.
const ADDRESS_EACH: usize = 10;

/// Grants that the work itself needs.
const NEEDED: usize = 10;

/// A spec with `rules` grants that lets the work below `field` be done, and connections to `port`.
pub(crate) fn with_rules(rules: usize, field: &Path, port: u16) -> String {
    let field = field.display();
    let mut read = String::new();
    let mut connect = String::new();
    for number in 0..rules.saturating_sub(NEEDED) {
        // Writing to a String does not fail.
        let _ = if number % ADDRESS_EACH == 0 {
            let (high, low) = (number / 250, number % 250);
            write!(connect, ", {{ to = \"10.{high}.{low}.0/24\", ports = [443] }}")
        } else {
            write!(read, ", \"/data/team-{}/service-{number}/**\"", number % 100)
        };
    }
    format!(
        r#"[agent]
name = "bench-{rules}"
description = "Measured."
role = "ideation"
tier = 2
mode = "enforce"

[files]
default = "deny"
read = ["/**", "{field}/work/**"{read}]
write = ["{field}/work/**", "/dev/null", "/tmp/**"]
create = ["{field}/work/**", "/tmp/**"]
delete = ["{field}/work/**", "/tmp/**"]
link = ["{field}/work/**"]
deny = ["{field}/secret/**"]

[exec]
default = "allow"

[network]
default = "deny"
connect = [{{ to = "127.0.0.1", ports = [{port}] }}{connect}]
listen = [{{ on = "127.0.0.1" }}]
sockets = ["tcp", "udp", "unix", "netlink-route"]

[unix]
default = "allow"

[process]
default = "allow"
"#
    )
}

/// A spec that allows everything, or holds what is called `asked` and the program `true`.
pub(crate) fn allowing(field: &Path, hold: bool) -> String {
    let (files, programs) = match hold {
        true => (format!("hold = [\"{}/work/asked/**\"]", field.display()), "hold = [\"/usr/bin/true\"]"),
        false => (String::new(), ""),
    };
    format!(
        r#"[agent]
name = "bench-held-{hold}"
description = "Measured."
role = "ideation"
tier = 2
mode = "enforce"

[files]
default = "allow"
{files}

[exec]
default = "allow"
{programs}

[network]
default = "allow"

[unix]
default = "allow"

[process]
default = "allow"
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_has_as_many_grants_as_wanted() {
        let text = with_rules(1000, Path::new("/bench"), 80);
        assert_eq!(text.matches("/service-").count() + text.matches("/24").count(), 990);
    }
}
