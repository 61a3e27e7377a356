//! The unix socket: made with its rights before anybody can connect, limited in connections, calls and bytes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener as StdListener;
use std::path::Path;
use std::time::Duration;

use agentguard_api::v1::agentd_server::AgentdServer;
use agentguard_api::{GROUP, MAX_MESSAGE_BYTES};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Group, chown};
use tokio::net::UnixListener;
use tonic::transport::Server;

use super::{Control, connections};

/// Calls at once on one connection.
const MAX_CALLS: usize = 16;

/// Open streams of one connection.
const MAX_STREAMS: u32 = 32;

/// A connection on which nothing answers is closed after this long.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Takes the socket's path. A socket that nobody listens on is a leftover and goes.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another agentd listens here")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(_) => fs::remove_file(path)?,
    }
    // No moment in which others could connect: closed first, then opened for the group.
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = StdListener::bind(path);
    umask(before);
    let listener = listener?;
    if let Ok(Some(group)) = Group::from_name(GROUP) {
        chown(path, None, Some(group.gid))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o660))?;
    } else {
        tracing::warn!(
            "there is no group `{GROUP}`: only root can use the API; add it: groupadd --system {GROUP}"
        );
    }
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Serves until `stop` is done.
pub async fn serve(
    listener: UnixListener,
    control: Control,
    stop: impl Future<Output = ()>,
) -> Result<(), tonic::transport::Error> {
    let service = AgentdServer::new(control)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Server::builder()
        .concurrency_limit_per_connection(MAX_CALLS)
        .max_concurrent_streams(MAX_STREAMS)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(service)
        .serve_with_incoming_shutdown(connections::accept(listener), stop)
        .await
}
