//! The table of known programs: where distributions and the programs' own installers put them, and what their
//! documentation says that they read, cache and connect to.

use super::{Program, Work};

const PLAIN: Program = Program {
    names: &[],
    run: &[],
    read: &[],
    caches: &[],
    connect: &[],
    sockets: &[],
    work: Work::None,
    makes_code: false,
    capability: "",
    note: "",
};

const COMPILER_RUN: &[&str] = &[
    "/usr/bin/{cc,gcc*,g++*,c++*,cpp*,ld*,as,ar,ranlib,nm,strip,objcopy,collect2,clang*,lld*,*-linux-gnu-*}",
    "/usr/lib/gcc/**",
    "/usr/libexec/gcc/**",
    "/usr/lib/llvm*/bin/*",
];
const NODE_RUN: &[&str] = &[
    "/usr/bin/{node,nodejs,npm,npx,yarn,pnpm,corepack}",
    "/usr/local/bin/{node,npm,npx,yarn,pnpm,corepack}",
    "/usr/lib/node_modules/**",
    "/usr/local/lib/node_modules/**",
    "/usr/share/nodejs/**",
    "${home}/.nvm/**",
];
const PYTHON_RUN: &[&str] = &[
    "/usr/bin/{python3*,pip3*,pip,python,pytest*,ruff,black,mypy,tox,pipx,poetry,uv,uvx}",
    "/usr/local/bin/{python3*,pip3*,pip,python,uv,uvx}",
    "${home}/.local/bin/*",
];
const GIT_RUN: &[&str] = &["/usr/bin/git", "/usr/lib/git-core/**", "/usr/libexec/git-core/**"];

/// Every known program. The first that has a name is taken.
pub(super) const PROGRAMS: &[Program] = &[
    Program {
        names: &["cargo", "rustc", "rustup", "rustfmt", "cargo-clippy", "rustdoc", "cross"],
        run: &[
            "/usr/bin/{cargo,rustc,rustup,rustfmt,rustdoc}",
            "${home}/.cargo/bin/*",
            "${home}/.rustup/**",
            "/usr/bin/{cc,gcc*,ld*,as,ar,collect2}",
            "/usr/lib/gcc/**",
            "/usr/libexec/gcc/**",
        ],
        read: &["${home}/.cargo", "${home}/.cargo/**", "${home}/.rustup", "${home}/.rustup/**"],
        caches: &["${home}/.cargo/registry", "${home}/.cargo/git"],
        connect: &["crates.io", "index.crates.io", "static.crates.io", "static.rust-lang.org"],
        work: Work::Run,
        capability: "code.build",
        ..PLAIN
    },
    Program {
        names: &[
            "npm", "npx", "node", "nodejs", "yarn", "pnpm", "corepack", "tsc", "eslint", "prettier", "jest",
            "vitest",
        ],
        run: NODE_RUN,
        read: &["${home}/.nvm/**"],
        caches: &["${home}/.npm", "${home}/.cache"],
        connect: &["registry.npmjs.org"],
        work: Work::Run,
        makes_code: true,
        capability: "code.build",
        ..PLAIN
    },
    Program {
        names: &[
            "python", "python3", "pip", "pip3", "pytest", "ruff", "black", "mypy", "tox", "pipx", "poetry",
            "uv", "uvx",
        ],
        run: PYTHON_RUN,
        read: &["/etc/python3*/**", "${home}/.local/lib/**", "${home}/.local/share/uv/**"],
        caches: &["${home}/.cache"],
        connect: &["pypi.org", "files.pythonhosted.org"],
        work: Work::Run,
        makes_code: true,
        capability: "code.build",
        ..PLAIN
    },
    Program {
        names: &["go", "gofmt"],
        run: &["/usr/bin/{go,gofmt}", "/usr/lib/go*/**", "/usr/local/go/**", "${home}/go/**"],
        read: &["/usr/local/go/**", "${home}/go", "${home}/go/**"],
        caches: &["${home}/go/pkg", "${home}/.cache"],
        connect: &["proxy.golang.org", "sum.golang.org"],
        work: Work::Run,
        capability: "code.build",
        ..PLAIN
    },
    Program {
        names: &["java", "javac", "mvn", "gradle", "gradlew", "mvnw"],
        run: &["/usr/bin/{java,javac,mvn,gradle}", "/usr/lib/jvm/**", "/usr/share/{maven,gradle}/**"],
        read: &["/etc/java*/**", "/etc/maven/**"],
        caches: &["${home}/.m2", "${home}/.gradle"],
        connect: &["repo.maven.apache.org", "repo1.maven.org", "plugins.gradle.org", "services.gradle.org"],
        work: Work::Run,
        makes_code: true,
        capability: "code.build",
        ..PLAIN
    },
    Program {
        names: &[
            "make",
            "cmake",
            "ninja",
            "meson",
            "gcc",
            "g++",
            "cc",
            "c++",
            "clang",
            "clang++",
            "ld",
            "ar",
            "ctest",
            "autoreconf",
        ],
        run: COMPILER_RUN,
        read: &["/usr/include/**"],
        work: Work::Run,
        capability: "code.build",
        ..PLAIN
    },
    Program {
        names: &["git", "gh"],
        run: GIT_RUN,
        read: &["${home}/.gitconfig", "${home}/.gitignore", "${home}/.config/git/**"],
        connect: &["github.com", "api.github.com", "codeload.github.com"],
        work: Work::Change,
        capability: "git.use",
        ..PLAIN
    },
    Program {
        names: &["kubectl", "k9s"],
        read: &["${home}/.kube", "${home}/.kube/config"],
        capability: "cluster.use",
        note: "name the cluster's API server in network.connect; policy lets only some roles read ~/.kube",
        ..PLAIN
    },
    Program {
        names: &["helm"],
        read: &["${home}/.kube", "${home}/.kube/config"],
        caches: &["${home}/.cache/helm", "${home}/.config/helm"],
        capability: "cluster.use",
        note: "name the cluster's API server and the chart repositories in network.connect",
        ..PLAIN
    },
    Program {
        names: &["terraform", "tofu"],
        connect: &["registry.terraform.io", "releases.hashicorp.com", "checkpoint-api.hashicorp.com"],
        caches: &["${home}/.terraform.d"],
        work: Work::Run,
        capability: "infrastructure.use",
        note: "name the providers' APIs in network.connect; hold `terraform apply*` and `terraform destroy*` for a person",
        ..PLAIN
    },
    Program {
        names: &["aws"],
        run: &["/usr/bin/aws", "/usr/local/bin/aws", "/usr/local/aws-cli/**"],
        connect: &["*.amazonaws.com"],
        makes_code: true,
        capability: "cloud.use",
        note: "policy keeps ~/.aws closed; hand it credentials in the environment",
        ..PLAIN
    },
    Program {
        names: &["gcloud", "gsutil", "bq"],
        connect: &["*.googleapis.com", "accounts.google.com"],
        capability: "cloud.use",
        note: "policy keeps cloud credentials in the home closed; hand it a token in the environment",
        ..PLAIN
    },
    Program {
        names: &["az"],
        connect: &["login.microsoftonline.com", "management.azure.com"],
        capability: "cloud.use",
        note: "policy keeps cloud credentials in the home closed; hand it a token in the environment",
        ..PLAIN
    },
    Program {
        names: &["psql", "pg_dump", "pg_restore"],
        run: &[
            "/usr/bin/{psql,pg_dump,pg_restore}",
            "/usr/share/postgresql-common/**",
            "/usr/lib/postgresql/**",
        ],
        sockets: &["/run/postgresql/*"],
        capability: "database.use",
        ..PLAIN
    },
    Program {
        names: &["mysql", "mysqldump", "mariadb"],
        sockets: &["/run/mysqld/*"],
        capability: "database.use",
        ..PLAIN
    },
    Program { names: &["redis-cli", "sqlite3"], work: Work::Change, capability: "database.use", ..PLAIN },
    Program { names: &["curl", "wget"], capability: "web.fetch", ..PLAIN },
    Program {
        names: &["docker", "podman", "docker-compose", "buildah", "nerdctl"],
        capability: "container.use",
        note: "the runtime's socket is not granted and policy denies it: whoever talks to it is root on this host",
        ..PLAIN
    },
    Program {
        names: &["ssh", "scp", "sftp", "rsync"],
        capability: "host.reach",
        note: "policy keeps ~/.ssh closed, so keys must come from elsewhere; name the hosts in network.connect",
        ..PLAIN
    },
    Program {
        names: &["sudo", "su", "doas"],
        capability: "",
        note: "programs that raise privilege stay denied (exec.privileged); run the agent as the user that it needs",
        ..PLAIN
    },
    Program {
        names: &[
            "jq",
            "yq",
            "grep",
            "egrep",
            "rg",
            "find",
            "ls",
            "cat",
            "head",
            "tail",
            "wc",
            "sort",
            "uniq",
            "cut",
            "awk",
            "gawk",
            "mawk",
            "diff",
            "stat",
            "file",
            "tree",
            "du",
            "df",
            "date",
            "uname",
            "whoami",
            "id",
            "hostname",
            "nproc",
            "which",
            "basename",
            "dirname",
            "realpath",
            "readlink",
            "tr",
            "seq",
            "sleep",
            "sha256sum",
            "md5sum",
            "base64",
            "xxd",
            "less",
            "env",
            "expr",
            "column",
            "nl",
            "tac",
            "comm",
            "join",
            "paste",
            "fold",
            "xargs",
            "timeout",
            "nice",
            "nohup",
            "time",
            "true",
            "false",
            "printf",
            "echo",
            "test",
            "pwd",
        ],
        work: Work::Read,
        capability: "files.read",
        ..PLAIN
    },
    Program {
        names: &[
            "sed", "cp", "mv", "rm", "mkdir", "rmdir", "touch", "tee", "ln", "chmod", "install", "tar",
            "gzip", "gunzip", "zip", "unzip", "xz", "zstd", "patch", "mktemp", "truncate", "split", "dd",
        ],
        work: Work::Change,
        capability: "files.write",
        ..PLAIN
    },
    Program {
        names: &["bash", "sh", "dash"],
        run: &["/usr/bin/{bash,dash,sh}", "/bin/{bash,dash,sh}"],
        ..PLAIN
    },
];
