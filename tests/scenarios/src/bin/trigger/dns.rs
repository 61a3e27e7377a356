//! A tiny DNS server that answers what it is told, and a client that resolves a name by one server and connects.
//! Messages are built by hand: queries of one question, answers of A and AAAA records.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::Subcommand;

use crate::network::Transport;
use crate::outcome::{Failure, Outcome, Step};

/// How long a client waits for an answer.
const WAIT: Duration = Duration::from_secs(5);
/// A message over UDP without extensions.
const MAX_MESSAGE: usize = 512;
/// Header of a message.
const HEADER: usize = 12;
const TYPE_A: u16 = 1;
const TYPE_AAAA: u16 = 28;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answers over UDP and TCP until it is killed. Unknown names get NXDOMAIN.
    DnsServer {
        #[arg(long)]
        listen: SocketAddr,
        /// NAME=ADDRESS[,TTL], several for several addresses.
        #[arg(long = "answer", required = true)]
        answers: Vec<Answer>,
        /// Written once it listens.
        #[arg(long)]
        ready: PathBuf,
        /// After so many answers to a name take the next of its addresses: rebinding.
        #[arg(long)]
        rotate: bool,
    },
    /// Resolves a name by one server and prints the address; with --port connects to it.
    DnsConnect {
        name: String,
        #[arg(long)]
        resolver: SocketAddr,
        #[arg(long)]
        port: Option<u16>,
        /// Ask over TCP.
        #[arg(long)]
        tcp: bool,
        /// Ask for an IPv6 address.
        #[arg(long)]
        v6: bool,
        /// Wait so long between the answer and the connection.
        #[arg(long, default_value_t = 0)]
        wait_ms: u64,
    },
}

/// One thing that the server knows.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    name: String,
    address: IpAddr,
    ttl_sec: u32,
}

impl FromStr for Answer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, rest) = text.split_once('=').ok_or("an answer is NAME=ADDRESS[,TTL]")?;
        let (address, ttl) = rest.split_once(',').unwrap_or((rest, "60"));
        Ok(Self {
            name: name.to_lowercase(),
            address: address.parse().map_err(|error| format!("'{address}': {error}"))?,
            ttl_sec: ttl.parse().map_err(|error| format!("'{ttl}': {error}"))?,
        })
    }
}

pub(crate) fn run(command: Command) -> Outcome {
    match command {
        Command::DnsServer { listen, answers, ready, rotate } => {
            serve(listen, Knowledge { answers, rotate, asked: HashMap::new() }, &ready)
        }
        Command::DnsConnect { name, resolver, port, tcp, v6, wait_ms } => {
            let address = ask(&name, resolver, tcp, v6)?;
            println!("address {address}");
            std::thread::sleep(Duration::from_millis(wait_ms));
            let Some(port) = port else { return Ok(()) };
            crate::network::run(crate::network::Command::Connect {
                address: SocketAddr::new(address, port),
                protocol: Transport::Tcp,
                nonblocking: false,
            })
        }
    }
}

/// What the server answers, and how often it was asked.
struct Knowledge {
    answers: Vec<Answer>,
    rotate: bool,
    asked: HashMap<String, usize>,
}

impl Knowledge {
    /// The records for a question.
    fn look_up(&mut self, name: &str, kind: u16) -> (bool, Vec<Answer>) {
        let name = name.to_lowercase();
        let known = self.answers.iter().any(|answer| answer.name == name);
        let mut found: Vec<Answer> = self
            .answers
            .iter()
            .filter(|answer| answer.name == name && kind == kind_of(answer.address))
            .cloned()
            .collect();
        if self.rotate && !found.is_empty() {
            let asked = self.asked.entry(name).or_default();
            found = found.get(*asked % found.len()).cloned().into_iter().collect();
            *asked += 1;
        }
        (known, found)
    }
}

fn kind_of(address: IpAddr) -> u16 {
    match address {
        IpAddr::V4(_) => TYPE_A,
        IpAddr::V6(_) => TYPE_AAAA,
    }
}

fn serve(listen: SocketAddr, mut knowledge: Knowledge, ready: &Path) -> Outcome {
    let datagrams = UdpSocket::bind(listen).step("bind udp")?;
    let streams = TcpListener::bind(listen).step("bind tcp")?;
    streams.set_nonblocking(true).step("set nonblocking")?;
    datagrams.set_read_timeout(Some(Duration::from_millis(50))).step("set timeout")?;
    std::fs::write(ready, "listening\n").step("write ready file")?;
    let mut message = [0_u8; MAX_MESSAGE];
    loop {
        if let Ok((length, peer)) = datagrams.recv_from(&mut message)
            && let Some(answer) = answer(message.get(..length).unwrap_or_default(), &mut knowledge)
        {
            // A peer that went away is its own business.
            let _ = datagrams.send_to(&answer, peer);
        }
        if let Ok((stream, _)) = streams.accept() {
            let _ = serve_stream(stream, &mut knowledge);
        }
    }
}

fn serve_stream(mut stream: TcpStream, knowledge: &mut Knowledge) -> std::io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(WAIT))?;
    let mut length = [0_u8; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length)).min(MAX_MESSAGE)];
    stream.read_exact(&mut message)?;
    if let Some(answer) = answer(&message, knowledge) {
        stream.write_all(&(answer.len() as u16).to_be_bytes())?;
        stream.write_all(&answer)?;
    }
    Ok(())
}

/// The name at `start` and where it ends. Questions carry no compression.
fn read_name(message: &[u8], start: usize) -> Option<(String, usize)> {
    let (mut name, mut at) = (String::new(), start);
    loop {
        let length = usize::from(*message.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        if length > 63 {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(message.get(at..at + length)?).ok()?);
        at += length;
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*message.get(at)?, *message.get(at + 1)?]))
}

/// The answer to one query, or nothing for what is not one.
fn answer(query: &[u8], knowledge: &mut Knowledge) -> Option<Vec<u8>> {
    /// Response, recursion desired and available; with NXDOMAIN where the name is unknown.
    const FLAGS: u16 = 0x8180;
    const NO_SUCH_NAME: u16 = 3;
    let (name, end) = read_name(query, HEADER)?;
    let (known, found) = knowledge.look_up(&name, number(query, end)?);
    let flags = if known { FLAGS } else { FLAGS | NO_SUCH_NAME };
    let mut message = query.get(..2)?.to_vec();
    for word in [flags, 1, found.len() as u16, 0, 0] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.extend_from_slice(query.get(HEADER..end + 4)?);
    for answer in found {
        // A pointer to the name in the question, type, class IN.
        for word in [0xc00c, kind_of(answer.address), 1] {
            message.extend_from_slice(&u16::to_be_bytes(word));
        }
        message.extend_from_slice(&answer.ttl_sec.to_be_bytes());
        let octets = match answer.address {
            IpAddr::V4(address) => address.octets().to_vec(),
            IpAddr::V6(address) => address.octets().to_vec(),
        };
        message.extend_from_slice(&(octets.len() as u16).to_be_bytes());
        message.extend_from_slice(&octets);
    }
    Some(message)
}

fn query(name: &str, v6: bool) -> Vec<u8> {
    let mut message = vec![0x41, 0x47, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    for word in [if v6 { TYPE_AAAA } else { TYPE_A }, 1] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message
}

fn ask(name: &str, resolver: SocketAddr, tcp: bool, v6: bool) -> Outcome<IpAddr> {
    let query = query(name, v6);
    let mut answer = vec![0; MAX_MESSAGE];
    if tcp {
        let mut stream = TcpStream::connect_timeout(&resolver, WAIT).step("connect resolver")?;
        stream.write_all(&(query.len() as u16).to_be_bytes()).step("write query")?;
        stream.write_all(&query).step("write query")?;
        let mut length = [0_u8; 2];
        stream.read_exact(&mut length).step("read answer")?;
        answer.resize(usize::from(u16::from_be_bytes(length)), 0);
        stream.read_exact(&mut answer).step("read answer")?;
    } else {
        let any = if resolver.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).step("bind")?;
        socket.set_read_timeout(Some(WAIT)).step("timeout")?;
        socket.connect(resolver).step("connect resolver")?;
        socket.send(&query).step("send query")?;
        let length = socket.recv(&mut answer).step("receive answer")?;
        answer.truncate(length);
    }
    first_address(&answer).ok_or_else(|| Failure::Broken(format!("no address for {name}")))
}

/// The address in the first answer of this program's own server.
fn first_address(message: &[u8]) -> Option<IpAddr> {
    if number(message, 6)? == 0 {
        return None;
    }
    let (_, end) = read_name(message, HEADER)?;
    // Question's type and class, then pointer, type, class, ttl and length of the answer.
    let (kind, data) = (number(message, end + 6)?, end + 4 + 12);
    match kind {
        TYPE_A => <[u8; 4]>::try_from(message.get(data..data + 4)?).ok().map(IpAddr::from),
        TYPE_AAAA => <[u8; 16]>::try_from(message.get(data..data + 16)?).ok().map(IpAddr::from),
        _ => None,
    }
}
