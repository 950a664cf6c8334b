use super::*;

fn token(header: &str, payload: &str, signature: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", encode(header.as_bytes()), encode(payload.as_bytes()), encode(signature))
}

fn refusal(token: &str, key: &VerifyingKey) -> Option<Refusal> {
    Unverified::read(token).and_then(|read| read.verify(key).map(drop)).err()
}

/// RFC 7515, appendix A.3.
#[test]
fn the_signature_of_the_standards_example_is_verified() {
    let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let x = decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
    let y = decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
    let key = VerifyingKey::from_point(&[&[4][..], &x, &y].concat()).unwrap();
    let message = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290\
                   Ijp0cnVlfQ";
    let signature =
        decode("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
    assert_eq!(key.verify(message.as_bytes(), &signature), Ok(()));
    assert_eq!(key.verify(&message.as_bytes()[1..], &signature), Err(Refusal::Signature));
    // As a token it is refused: its header names neither type nor key.
    let whole = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&signature));
    assert_eq!(Unverified::read(&whole).err(), Some(Refusal::Malformed));
}

#[test]
fn a_token_is_read_back_under_its_key_and_no_other() {
    let (pair, private) = SigningPair::generate().unwrap();
    let signed = pair.sign(&json!({ "sub": "ada" })).unwrap();
    let again = SigningPair::from_pkcs8(&private).unwrap();
    let read = Unverified::read(&signed).unwrap();
    assert_eq!(read.kid(), again.public().kid());
    assert_eq!(read.verify(again.public()).unwrap(), br#"{"sub":"ada"}"#);
    let (other, _) = SigningPair::generate().unwrap();
    assert_eq!(refusal(&signed, other.public()), Some(Refusal::UnknownKey));
    let impostor = VerifyingKey { kid: pair.public().kid.clone(), point: other.public().point };
    assert_eq!(refusal(&signed, &impostor), Some(Refusal::Signature));
}

#[test]
fn every_changed_letter_of_a_token_is_noticed() {
    let (pair, _) = SigningPair::generate().unwrap();
    let signed = pair.sign(&json!({ "sub": "ada" })).unwrap();
    for at in 0..signed.len() {
        let mut bent = signed.clone().into_bytes();
        bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
        let bent = String::from_utf8(bent).unwrap();
        assert!(refusal(&bent, pair.public()).is_some(), "letter {at}");
    }
    for end in 0..signed.len() {
        assert!(refusal(&signed[..end], pair.public()).is_some(), "cut at {end}");
    }
}

#[test]
fn attacks_on_the_header_are_refused() {
    let (pair, _) = SigningPair::generate().unwrap();
    let kid = pair.public().kid();
    let key = pair.public();
    let payload = r#"{"sub":"ada"}"#;
    let attack = |header: String| {
        let message = token(&header, payload, b"");
        let signature =
            pair.pair.sign(&SystemRandom::new(), message.trim_end_matches('.').as_bytes()).unwrap();
        refusal(&token(&header, payload, signature.as_ref()), key)
    };
    assert_eq!(attack(format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}"}}"#)), None);
    for alg in ["none", "None", "HS256", "RS256", "ES384", "es256", ""] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{kid}"}}"#);
        assert_eq!(attack(header), Some(Refusal::Algorithm), "{alg}");
    }
    let no_signature = token(&format!(r#"{{"alg":"none","typ":"JWT","kid":"{kid}"}}"#), payload, b"");
    assert_eq!(refusal(&no_signature, key), Some(Refusal::Algorithm));
    assert_eq!(attack(format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"{kid}"}}"#)), Some(Refusal::Type));
    assert_eq!(attack(r#"{"alg":"ES256","typ":"JWT","kid":""}"#.to_owned()), Some(Refusal::UnknownKey));
    assert_eq!(attack(r#"{"alg":"ES256","typ":"JWT","kid":"other"}"#.to_owned()), Some(Refusal::UnknownKey));
    for extra in [
        r#""crit":["b64"]"#,
        r#""b64":false"#,
        r#""jwk":{}"#,
        r#""jku":"https://x.example""#,
        r#""alg":"ES256""#,
    ] {
        let header = format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{kid}",{extra}}}"#);
        assert_eq!(attack(header), Some(Refusal::Malformed), "{extra}");
    }
    assert_eq!(attack("{".to_owned()), Some(Refusal::Malformed));
}

#[test]
fn a_statement_is_never_a_token() {
    let (pair, _) = SigningPair::generate().unwrap();
    let statement = pair.state(&json!({ "aud": "platform-kernel" })).unwrap();
    assert_eq!(refusal(&statement, pair.public()), Some(Refusal::Type));
    let (message, signature) = statement.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    assert_eq!(pair.public().verify(message.as_bytes(), &signature), Ok(()));
}

#[test]
fn the_limit_is_eight_kilobytes() {
    let (pair, _) = SigningPair::generate().unwrap();
    assert!(pair.sign(&json!({ "x": "y".repeat(5_800) })).is_ok());
    assert!(pair.sign(&json!({ "x": "y".repeat(6_200) })).is_err());
    assert_eq!(refusal(&"x".repeat(MOST_BYTES + 1), pair.public()), Some(Refusal::TooLong));
    for text in ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "ä.ö.ü"] {
        assert_eq!(refusal(text, pair.public()), Some(Refusal::Malformed), "{text}");
    }
}

#[test]
fn a_key_is_shown_as_a_jwk_without_its_private_part() {
    let (pair, _) = SigningPair::generate().unwrap();
    let jwk = pair.public().jwk();
    let members: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["kty", "crv", "x", "y", "kid", "use", "alg"]);
    assert_eq!(VerifyingKey::from_point(pair.public().point()).unwrap().kid(), pair.public().kid());
    assert!(VerifyingKey::from_point(&[4; 64]).is_err() && VerifyingKey::from_point(&[2; 65]).is_err());
}
