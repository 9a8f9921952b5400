//! The ready file: which addresses were really bound, for whoever started this process with port 0.
//!
//! ```json
//! {"inbound":["127.0.0.1:4000"],"outbound":"127.0.0.1:5000","routes":["127.0.0.1:6000"],"admin":"127.0.0.1:7000"}
//! ```

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

/// Every bound address, in the order in which the flags named them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Addresses {
    /// One per `--inbound`.
    pub inbound: Vec<SocketAddr>,
    /// The forward proxy, where there is one.
    pub outbound: Option<SocketAddr>,
    /// One per `--route`.
    pub routes: Vec<SocketAddr>,
    /// The admin listener, where there is one.
    pub admin: Option<SocketAddr>,
    /// The control face, where it is on loopback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<SocketAddr>,
}

impl Addresses {
    /// Writes the file in one step, so that a reader who sees it sees all of it.
    ///
    /// Call it after everything listens. Errors name the path.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        // The process id keeps two processes that were given the same path from writing into one file.
        name.push(format!(".{}.tmp", std::process::id()));
        let beside = path.with_file_name(name);
        let written = self.write_to(&beside).and_then(|()| std::fs::rename(&beside, path));
        written.map_err(|error| {
            // Best effort: the error that matters is the first one.
            let _ = std::fs::remove_file(&beside);
            io::Error::new(error.kind(), format!("writing the ready file {}: {error}", path.display()))
        })
    }

    /// The same in words, for the log.
    pub fn summary(&self) -> String {
        let list = |name: &str, addresses: &[SocketAddr]| {
            addresses.iter().map(|address| format!("{name} {address}")).collect::<Vec<_>>()
        };
        let inbound = list("inbound", &self.inbound);
        let routes = list("route", &self.routes);
        let others = [("outbound", self.outbound), ("admin", self.admin), ("control", self.control)];
        let others = others.into_iter().flat_map(|(name, address)| list(name, address.as_slice()));
        inbound.into_iter().chain(routes).chain(others).collect::<Vec<_>>().join(", ")
    }

    fn write_to(&self, path: &Path) -> io::Result<()> {
        let mut file = std::fs::File::create(path)?;
        serde_json::to_writer(&mut file, self)?;
        file.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_the_promised_shape_and_nothing_lies_beside_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("ready.json");
        let address = |text: &str| text.parse::<SocketAddr>().expect("a valid address");
        let mut addresses = Addresses {
            inbound: vec![address("127.0.0.1:4000")],
            outbound: None,
            routes: vec![address("[::1]:6000")],
            admin: Some(address("127.0.0.1:7000")),
            control: None,
        };
        addresses.write(&path).expect("the folder can be written");
        assert_eq!(
            std::fs::read_to_string(&path).expect("the file is there"),
            r#"{"inbound":["127.0.0.1:4000"],"outbound":null,"routes":["[::1]:6000"],"admin":"127.0.0.1:7000"}"#
                .to_owned()
                + "\n",
        );
        addresses.outbound = Some(address("127.0.0.1:5000"));
        addresses.write(&path).expect("an old file is replaced");
        let names: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder is there").flatten().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn an_error_names_the_path() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("missing/ready.json");
        let error = Addresses::default().write(&path).expect_err("the folder is missing");
        assert!(error.to_string().contains("missing/ready.json"), "{error}");
    }
}
