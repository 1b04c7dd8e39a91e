//! Syncs one database with whatever is at the other end of a connection.

use rejoin::Database;
use rejoin::streams::{Inbound, Outbound, Receipt, SiteId};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn send(link: &mut TcpStream, kind: u8, data: &[u8]) -> Outcome<()> {
    let mut frame = vec![kind];
    frame.extend_from_slice(&u32::try_from(data.len())?.to_be_bytes());
    frame.extend_from_slice(data);
    Ok(link.write_all(&frame)?)
}

fn receive(link: &mut TcpStream) -> Outcome<(u8, Vec<u8>)> {
    let mut head = [0; 5];
    link.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if length > MESSAGE_MAX {
        return Err(format!("a message of {length} bytes was announced, and {MESSAGE_MAX} are taken").into());
    }
    let mut data = vec![0; length as usize];
    link.read_exact(&mut data)?;
    Ok((head[0], data))
}

/// Sends packages until the other side has everything.
fn tell(link: &mut TcpStream, outbound: &Outbound) -> Outcome<()> {
    let acknowledge = |link: &mut TcpStream| -> Outcome<()> {
        let (_, receipt) = receive(link)?;
        outbound.acknowledge(&Receipt::from_text(std::str::from_utf8(&receipt)?)?)?;
        Ok(())
    };
    acknowledge(link)?;
    while let Some(produced) = outbound.next(None)? {
        send(link, b'p', produced.package.as_bytes())?;
        acknowledge(link)?;
    }
    send(link, b'e', &[])
}

/// Applies packages until the other side has no more.
fn listen(link: &mut TcpStream, inbound: &Inbound) -> Outcome<()> {
    send(link, b'r', inbound.receipt()?.to_text().as_bytes())?;
    while let (b'p', package) = receive(link)? {
        let applied = inbound.apply(&package)?;
        send(link, b'r', applied.receipt.to_text().as_bytes())?;
    }
    Ok(())
}

fn connect(address: &str) -> Outcome<TcpStream> {
    for _ in 0..100 {
        if let Ok(link) = TcpStream::connect(address) {
            return Ok(link);
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Err(format!("nobody listens on {address}").into())
}

fn run() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [role, path, port] = &arguments[..] else { return Err("usage: peer serve|join FILE PORT".into()) };
    let address = format!("127.0.0.1:{port}");
    let database = Database::open(path)?;
    let serves = role == "serve";
    let link = &mut if serves { TcpListener::bind(&address)?.accept()?.0 } else { connect(&address)? };
    send(link, b'i', database.site_id()?.as_bytes())?;
    let remote = SiteId::from_slice(&receive(link)?.1)?;
    let (outbound, inbound) = (database.outbound(remote)?, database.inbound(remote)?);
    if serves {
        tell(link, &outbound)?;
        listen(link, &inbound)
    } else {
        listen(link, &inbound)?;
        tell(link, &outbound)
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// No package is larger, in bytes.
const MESSAGE_MAX: u32 = 256 << 20;
