//! `rejoin serve`

use std::io::{IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

use clap::error::ErrorKind;
use rejoin::node::{Access, Limits, Patience, Server};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::ending::{Ending, Failure};
use crate::interrupt::asked_to_end;

/// Serve rooms: every database in a folder, to whoever syncs with it
///
/// The last part of the address that is dialled names the room, and a room is the file ROOM.db in the folder. A room that
/// is not there yet is made by the first database that syncs with it. Says on standard output where it listens, and logs
/// on standard error; RUST_LOG=debug says more.
///
/// The same port takes cr-sqlite's JavaScript clients (@vlcn.io/ws-client) on any path, into the same rooms; they need the
/// schema files that they were built with, in the folder given by --schemas.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  rejoin serve --dir ./rooms                                     for this machine only
  rejoin serve --dir ./rooms --listen 0.0.0.0:7448 --token SECRET
  rejoin serve --dir ./rooms --token todo=SECRET1 --token notes=SECRET2
  rejoin serve --dir ./rooms --schemas ./schemas                 also for cr-sqlite's clients in browsers
  rejoin sync app.db ws://127.0.0.1:7448/todo                    the other end

For wss:// put a proxy that speaks TLS in front.")]
pub struct Args {
    /// The folder of the rooms; made where it is not there
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Where to listen; port 0 takes a free one. Beyond this machine only with --token
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7448")]
    listen: String,
    /// Let in only who has this secret: SECRET for every room, ROOM=SECRET for one. Can be given many times
    #[arg(long, value_name = "SECRET", env = "REJOIN_TOKEN", hide_env_values = true)]
    token: Vec<String>,
    /// The folder of the schema files that JavaScript clients name
    #[arg(long, value_name = "DIR")]
    schemas: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &Args) -> Result<Ending, Failure> {
    let access = Access::from_tokens(args.token.iter().map(String::as_str)).map_err(|error| says(&error))?;
    let addresses: Vec<SocketAddr> = args
        .listen
        .to_socket_addrs()
        .map_err(|error| Failure::Says(format!("failed to understand the address {}: {error}", args.listen)))?
        .collect();
    if access.is_open() && !addresses.iter().all(|address| address.ip().is_loopback()) {
        let message = format!(
            "{} can be reached from other machines, and without a token everybody could read and write every room; add \
             --token SECRET, or listen on 127.0.0.1\n",
            args.listen
        );
        clap::Error::raw(ErrorKind::MissingRequiredArgument, message).exit();
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,rejoin_node=info"));
    let is_terminal = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(is_terminal).init();
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::Says(format!("failed to start the program's threads: {error}")))?;
    runtime.block_on(serve(args, access, &addresses))
}

async fn serve(args: &Args, access: Access, addresses: &[SocketAddr]) -> Result<Ending, Failure> {
    let listener = TcpListener::bind(addresses)
        .await
        .map_err(|error| Failure::Says(format!("failed to listen on {}: {error}", args.listen)))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::Says(format!("failed to find out where it listens: {error}")))?;
    let mut server = Server::new(&args.dir, rejoin::prepare(), access, Limits::default(), Patience::default())
        .map_err(|error| says(&error))?;
    if let Some(schemas) = &args.schemas {
        if !schemas.is_dir() {
            return Err(Failure::Says(format!("there is no folder {}, where --schemas looks", schemas.display())));
        }
        server = server.with_schemas(schemas);
    }
    {
        let mut out = std::io::stdout().lock();
        writeln!(out, "listening on ws://{address}/ROOM")?;
        out.flush()?;
    }
    let until = async {
        asked_to_end().await;
        tokio::spawn(async {
            asked_to_end().await;
            std::process::exit(1);
        });
    };
    server.serve(listener, until).await.map_err(|error| says(&error))?;
    Ok(Ending::Done)
}

fn says(error: &impl std::fmt::Display) -> Failure {
    Failure::Says(error.to_string())
}
