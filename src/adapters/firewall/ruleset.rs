//! The walls in nftables' language.

use std::fmt::{Display, Write as _};

use crate::domain::walls::Walls;

/// Makes the table anew, in one transaction of the kernel. Its chains come before those of others (priority -5, the
/// engine's are at 0): what is refused here never gets to a rule that would let it pass.
pub(super) fn text(table: &str, walls: &Walls) -> String {
    // Without the first line the second would fail where there is no table yet.
    let mut text = format!("table inet {table} {{}}\ndelete table inet {table}\n");
    if walls.branches.is_empty() {
        return text;
    }
    let networks = |list: &[_]| joined(list.iter());
    let same = joined(walls.branches.iter().map(|subnet| format!("{subnet} . {subnet}")));
    let ports = joined(
        walls
            .tcp
            .iter()
            .map(|port| format!("tcp . {port}"))
            .chain(walls.udp.iter().map(|port| format!("udp . {port}"))),
    );
    let open = if ports.is_empty() { String::new() } else { format!("elements = {{ {ports} }}") };
    // Writing into a String cannot fail.
    write!(
        text,
        "table inet {table} {{
  set branches {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {branches} }} }}
  set same {{ type ipv4_addr . ipv4_addr; flags interval; elements = {{ {same} }} }}
  set denied {{ type ipv4_addr; flags interval; auto-merge; elements = {{ {denied} }} }}
  set open {{ type inet_proto . inet_service; {open} }}
  chain input {{
    type filter hook input priority -5; policy accept;
    ip saddr @branches ct state established,related accept
    ip saddr @branches meta l4proto . th dport @open accept
    ip saddr @branches reject
  }}
  chain forward {{
    type filter hook forward priority -5; policy accept;
    ct state established,related accept
    ip saddr . ip daddr @same accept
    ip daddr @branches reject
    ip saddr @branches ip daddr @denied reject
    ip saddr @branches ct status dnat reject
  }}
}}
",
        branches = networks(&walls.branches),
        denied = networks(&walls.denied),
    )
    .ok();
    text
}

fn joined(items: impl Iterator<Item = impl Display>) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::walls::Rules;

    fn walls(subnets: &[&str], ports: Vec<u16>) -> Walls {
        let subnets: Vec<String> = subnets.iter().map(|it| (*it).to_owned()).collect();
        Rules { proxy_ports: ports, ..Rules::default() }.walls(&subnets).unwrap()
    }

    #[test]
    fn without_networks_there_is_no_table() {
        insta::assert_snapshot!(text("drey_ab", &walls(&[], vec![443])), @r"
        table inet drey_ab {}
        delete table inet drey_ab
        ");
    }

    #[test]
    fn each_network_reaches_itself_and_the_open_ports() {
        let text = text("drey_ab", &walls(&["10.213.0.32/27", "10.213.0.0/27"], vec![443, 80]));
        for line in [
            "set branches { type ipv4_addr; flags interval; auto-merge; elements = { 10.213.0.0/27, 10.213.0.32/27 } }",
            "elements = { 10.213.0.0/27 . 10.213.0.0/27, 10.213.0.32/27 . 10.213.0.32/27 }",
            "elements = { 169.254.0.0/16 }",
            "set open { type inet_proto . inet_service; elements = { tcp . 80, tcp . 443 } }",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
