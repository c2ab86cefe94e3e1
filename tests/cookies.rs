//! Cookies: those of a request, those of a response held to the rules of browsers, and signed ones.
#![cfg(feature = "cookies")]

use std::time::{Duration, SystemTime};

use transom::{Cookies, Method, Request, Response, SameSite, SetCookie, SigningKeys};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";
const OLD: &[u8] = b"fedcba9876543210fedcba9876543210";
/// What C and Python make of the same key, name and value.
const SIGNED: &str = "ada.83b8b526c316d5b53998dffac13729b9d25378a51dbc8fb6b08e48eda1cb59a7";

fn with_cookies(lines: &[&str]) -> Request {
    let mut request = Request::new(Method::GET, "/").unwrap();
    for line in lines {
        request.headers_mut().append("cookie", line).unwrap();
    }
    request
}

#[test]
fn cookies_are_read_as_the_client_sent_them() {
    let request = with_cookies(&[
        "session=a=b; theme=\"dark\"; bare; =x;; empty=",
        " quote=\" ;late=%20; theme=light; Theme=x",
    ]);
    let cookies = request.cookies().unwrap();
    let expected = [
        ("session", "a=b"),
        ("theme", "dark"),
        ("empty", ""),
        ("quote", "\""),
        ("late", "%20"),
        ("theme", "light"),
        ("Theme", "x"),
    ];
    assert_eq!(cookies.iter().collect::<Vec<_>>(), expected);
    assert_eq!((cookies.get("theme"), cookies.get("bare")), (Some("dark"), None));
}

#[test]
fn ten_thousand_cookies_are_a_431() {
    let fits = "a=;".repeat(Cookies::MOST);
    assert_eq!(with_cookies(&[&fits]).cookies().unwrap().iter().count(), 1000);
    let error = with_cookies(&[&fits, "b=1"]).cookies().unwrap_err();
    assert_eq!(error.status(), 431);
    assert!(with_cookies(&["a=;".repeat(10_000).as_str()]).cookies().is_err());
}

#[test]
fn a_cookie_has_its_attributes_in_order() {
    let day = Duration::from_secs(86_400);
    let cookie = SetCookie::new("a", "b");
    for (cookie, expected) in [
        (cookie.clone(), "a=b; Path=/; HttpOnly; SameSite=Lax"),
        (
            cookie.clone().max_age(Duration::from_millis(1500)).path(None).http_only(false).same_site(None),
            "a=b; Max-Age=2",
        ),
        (
            cookie.clone().expires(SystemTime::UNIX_EPOCH + day).domain("x.org").path("/y").secure(true),
            "a=b; Expires=Fri, 02 Jan 1970 00:00:00 GMT; Path=/y; Domain=x.org; Secure; HttpOnly; SameSite=Lax",
        ),
        (
            cookie.clone().secure(true).same_site(SameSite::None).partitioned(true),
            "a=b; Path=/; Secure; HttpOnly; SameSite=None; Partitioned",
        ),
        (
            SetCookie::delete("a"),
            "a=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; HttpOnly; SameSite=Lax",
        ),
    ] {
        assert_eq!(cookie.to_field().unwrap(), expected);
    }
    let response =
        Response::text("").set_cookie(&cookie).unwrap().set_cookie(&SetCookie::delete("c")).unwrap();
    assert_eq!(response.headers().get_all("set-cookie").count(), 2);
}

#[test]
fn a_cookie_that_browsers_refuse_is_an_error() {
    let cookie = |name: &str| SetCookie::new(name, "b");
    for (cookie, told) in [
        (cookie("__Secure-a"), "cookie \"__Secure-a\" needs Secure because of its name"),
        (cookie("__host-a"), "cookie \"__host-a\" needs Secure because of its name"),
        (cookie("__Host-a").secure(true).path("/x"), "needs the path / and no domain because of its name"),
        (cookie("__Host-a").secure(true).path(None), "needs the path / and no domain because of its name"),
        (
            cookie("__Host-a").secure(true).domain("x.org"),
            "needs the path / and no domain because of its name",
        ),
        (cookie("a").same_site(SameSite::None), "needs Secure because of SameSite=None"),
        (cookie("a").partitioned(true), "needs Secure because of Partitioned"),
        (cookie(""), "cookie name \"\" is not a token"),
        (cookie("a\r\nb"), "cookie name \"a\\r\\nb\" is not a token"),
        (
            SetCookie::new("a", "b; Domain=y"),
            "the value of cookie \"a\" has a character that is not allowed there",
        ),
        (
            SetCookie::new("a", "\u{e9}"),
            "the value of cookie \"a\" has a character that is not allowed there",
        ),
        (SetCookie::new("a", "b".repeat(4096)), "cookie \"a\" is larger than 4096 bytes with its value"),
        (cookie("a").path("/;x"), "the path of cookie \"a\" has a character that is not allowed there"),
        (cookie("a").domain("x\n"), "the domain of cookie \"a\" has a character that is not allowed there"),
        (cookie("a").path("/".repeat(1025).as_str()), "the path of cookie \"a\" is longer than 1024 bytes"),
        (cookie("a").expires(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), "expires before 1970"),
        (cookie("a").expires(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)), "expires before 1970"),
    ] {
        let error = cookie.to_field().unwrap_err().to_string();
        assert!(error.contains(told), "{error}: {told}");
    }
}

#[test]
fn a_signed_cookie_is_read_with_its_key_and_with_older_ones() {
    let keys = SigningKeys::new(KEY).unwrap();
    let old = SigningKeys::new(OLD).unwrap();
    let both = SigningKeys::new(OLD).unwrap().and_old(KEY).unwrap();
    assert_eq!(keys.sign("user", "ada"), SIGNED);
    for keys in [&keys, &both] {
        assert_eq!(keys.verify("user", SIGNED), Some("ada"));
    }
    assert_eq!(old.verify("user", SIGNED), None);
    assert_eq!(both.sign("user", "ada"), old.sign("user", "ada"));
    let changed = [
        SIGNED.to_uppercase(),
        SIGNED[..SIGNED.len() - 1].to_owned(),
        format!("{SIGNED}0"),
        format!("bob{}", &SIGNED[3..]),
        SIGNED[3..].to_owned(),
        "ada".to_owned(),
        String::new(),
        format!("\u{e9}{}", "x".repeat(64)),
    ];
    for signed in changed {
        assert_eq!(keys.verify("user", &signed), None, "{signed}");
    }
    assert_eq!(keys.verify("role", SIGNED), None);
    assert_eq!(keys.verify("user", &keys.sign("user", "")), Some(""));
    assert!(SigningKeys::new(&KEY[1..]).is_err());
    assert!(!format!("{keys:?}").contains("0123"));
    let request = with_cookies(&[&format!("user={SIGNED}; other=x")]);
    let cookies = request.cookies().unwrap();
    assert_eq!(cookies.signed("user", &keys), Some("ada"));
    assert_eq!(cookies.signed("other", &keys), None);
    let set = SetCookie::new("user", "ada").signed(&keys).to_field().unwrap();
    assert!(set.starts_with(&format!("user={SIGNED}; ")));
}
