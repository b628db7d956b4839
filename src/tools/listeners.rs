//! Who may connect to a port of this machine, by the kernel's own word.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses on which something listens at a TCP port; `None` where the system does not tell. Source: Linux `proc_net_tcp.rst`.
#[must_use]
pub fn listeners(port: u16) -> Option<Vec<SocketAddr>> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    if tables.iter().all(Result::is_err) {
        return None;
    }
    let all = tables.iter().flatten().flat_map(|table| table.lines().skip(1)).filter_map(listening);
    Some(all.filter(|address| address.port() == port).collect())
}

/// The address of a line, if something listens there.
fn listening(line: &str) -> Option<SocketAddr> {
    const LISTEN: &str = "0A";
    let mut fields = line.split_whitespace();
    let (local, state) = (fields.nth(1)?, fields.nth(1)?);
    if state != LISTEN {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    // Words of 32 bits as the processor has them in memory.
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let bytes: [u8; 16] = [word(0)?, word(8)?, word(16)?, word(24)?].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn listeners_are_told_by_their_port_with_the_address_that_they_chose() {
        // Addresses that no other test listens on: the port of a closed one may be given to anybody.
        for bound in ["127.83.12.7:0", "0.0.0.0:0"] {
            let listener = TcpListener::bind(bound).unwrap();
            let address = listener.local_addr().unwrap();
            assert!(listeners(address.port()).unwrap().contains(&address), "{address}");
            drop(listener);
            assert!(!listeners(address.port()).unwrap().contains(&address), "{address} is closed");
        }
    }
}
