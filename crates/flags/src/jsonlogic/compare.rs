use super::node::{Node, parse_float};

/// As a number in comparisons, as JavaScript has it.
fn number(node: &Node) -> f64 {
    match node {
        Node::Null => 0.0,
        Node::Bool(value) => f64::from(u8::from(*value)),
        Node::Number(value) => *value,
        Node::Text(text) if text.trim().is_empty() => 0.0,
        Node::Text(text) => parse_float(text).unwrap_or(f64::NAN),
        Node::List(_) | Node::Map(_) => f64::NAN,
    }
}

/// Texts by their bytes, everything else as numbers.
pub(super) fn less(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Text(a), Node::Text(b)) => a < b,
        _ => number(a) < number(b),
    }
}

/// `==`
pub(super) fn equal(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Null, _) | (_, Node::Null) => a == b,
        (Node::Text(a), Node::Text(b)) => a == b,
        _ => number(a) == number(b),
    }
}

/// `===`
pub(super) fn same(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Null, _) | (_, Node::Null) => a == b,
        _ => std::mem::discriminant(a) == std::mem::discriminant(b) && equal(a, b),
    }
}
