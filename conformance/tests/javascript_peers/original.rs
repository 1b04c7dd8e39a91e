//! `rejoin sync` as a client of the original server.
