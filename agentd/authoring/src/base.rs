//! What nearly every program needs before it does anything: the dynamic linker, the C library, a shell.

use crate::SpecDraft;
use crate::render::USUAL_SOCKETS;

const PROGRAMS: &str = "Programs, the dynamic linker, libraries, locales, certificates.";
const ACCOUNTS: &str = "What the C library asks: names of users and hosts, time zone, name servers.";
const KERNEL: &str = "What language runtimes ask the kernel. /proc/self is /proc/<pid>.";
const TERMINAL: &str = "Terminal and the usual devices.";
/// Above what belongs to the work itself.
pub(crate) const WORK: &str = "The work.";
/// Above programs of the base.
pub(crate) const SHELL: &str = "Shells.";

const READ: [(&str, &[&str]); 4] = [
    (
        PROGRAMS,
        &[
            "/usr/lib/**",
            "/usr/lib64/**",
            "/usr/local/lib/**",
            "/usr/libexec/**",
            "/usr/share/**",
            "/usr/bin/**",
            "/usr/local/bin/**",
            "/lib/**",
            "/lib64/**",
            "/bin/**",
            "/etc/ssl",
            "/etc/ssl/certs",
            "/etc/ssl/certs/**",
            "/etc/ssl/openssl.cnf",
            "/etc/pki/{tls,ca-trust}/**",
            "/etc/ca-certificates/**",
        ],
    ),
    (
        ACCOUNTS,
        &[
            "/etc/{ld.so.cache,ld.so.preload,localtime,timezone,nsswitch.conf,passwd,group,hosts,host.conf,gai.conf,resolv.conf,services,protocols,os-release,machine-id,mime.types}",
            "/etc/{profile,bash.bashrc,bashrc,inputrc,terminfo,alternatives}",
            "/etc/{terminfo,alternatives}/**",
            "/run/systemd/resolve/*",
            "/run/resolvconf/*",
            "/run/NetworkManager/*",
        ],
    ),
    (
        KERNEL,
        &[
            "/proc/[0-9]*/**",
            "/proc/{cpuinfo,meminfo,stat,uptime,version,loadavg,filesystems,mounts}",
            "/proc/sys/{kernel,vm}/**",
            "/sys/devices/system/cpu",
            "/sys/devices/system/cpu/**",
            "/sys/fs/cgroup/**",
            "/sys/kernel/mm/transparent_hugepage/*",
        ],
    ),
    (
        TERMINAL,
        &[
            "/dev/{null,zero,full,random,urandom,tty,console,fd,stdin,stdout,stderr}",
            "/dev/pts/*",
            "/dev/{ttyS,hvc}[0-9]*",
        ],
    ),
];
const WRITE: [(&str, &[&str]); 2] = [
    (
        TERMINAL,
        &["/dev/{null,zero,full,tty,console,stdin,stdout,stderr}", "/dev/pts/*", "/dev/{ttyS,hvc}[0-9]*"],
    ),
    ("A thread's name.", &["/proc/[0-9]*/comm", "/proc/[0-9]*/task/[0-9]*/comm"]),
];
const SHELLS: [&str; 3] = ["/usr/bin/{bash,dash,sh,env}", "/bin/{bash,dash,sh}", "/usr/bin/busybox"];
const LIBRARIES: [&str; 5] = ["/usr/lib/**", "/usr/lib64/**", "/usr/local/lib/**", "/lib/**", "/lib64/**"];

/// Grants what a shell and the programs that it starts need to run at all. None of it lets anything be changed or
/// anybody be reached.
pub(crate) fn grant(draft: &mut SpecDraft) {
    for (heading, patterns) in READ {
        patterns.iter().for_each(|pattern| draft.files.read.add_under(heading, *pattern));
    }
    for (heading, patterns) in WRITE {
        patterns.iter().for_each(|pattern| draft.files.write.add_under(heading, *pattern));
    }
    SHELLS.iter().for_each(|shell| draft.run(SHELL, shell));
    LIBRARIES.iter().for_each(|library| draft.exec.libraries.add(*library));
    USUAL_SOCKETS.iter().for_each(|kind| draft.network.sockets.add(*kind));
}

/// Declares the variable for the directory that an agent works in.
pub(crate) fn workspace(draft: &mut SpecDraft) {
    draft.variable(
        "workspace",
        "",
        "where it works; agentctl takes the current directory if it is not given",
    );
}

/// The work directory in patterns.
pub(crate) const WORKSPACE: &str = "${workspace}";
