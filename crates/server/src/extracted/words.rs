//! Words around numbers, in lower case.

/// Words before a code: `your code is 4815`.
pub(super) const CUES: [&str; 27] = [
    "code",
    "codes",
    "pin",
    "otp",
    "passcode",
    "password",
    "token",
    "tan",
    "2fa",
    "mfa",
    "verification",
    "kode",
    "kod",
    "codigo",
    "código",
    "codice",
    "passwort",
    "bestätigungscode",
    "sicherheitscode",
    "wachtwoord",
    "код",
    "пароль",
    "コード",
    "验证码",
    "驗證碼",
    "인증번호",
    "密码",
];
/// Words between a cue and its code.
pub(super) const FILLERS: [&str; 14] = [
    "is", "are", "was", "as", "est", "es", "ist", "lautet", "è", "é", "är", "number", "no", "the",
];
/// What follows a code that comes first: `4815 is your code`.
pub(super) const CUES_AFTER: [&str; 9] = [
    "is your",
    "is the",
    "is je",
    "ist dein",
    "ist ihr",
    "ist der",
    "est votre",
    "es tu",
    "es su",
];
/// Currencies beside an amount.
pub(super) const CURRENCIES: [&str; 20] = [
    "usd", "eur", "gbp", "inr", "rs", "sek", "nok", "dkk", "chf", "jpy", "cad", "aud", "ngn", "kes", "zar",
    "brl", "mxn", "dollars", "euros", "kr",
];
/// Words before a number that is dialled, part of an address, or the end of a card or account.
pub(super) const OTHER_NUMBERS: [&str; 22] = [
    "call",
    "tel",
    "phone",
    "fax",
    "dial",
    "mobile",
    "cell",
    "whatsapp",
    "ext",
    "suite",
    "ste",
    "apt",
    "room",
    "floor",
    "box",
    "ending",
    "ends",
    "in",
    "with",
    "card",
    "copyright",
    "©",
];
/// Words before a short code: `text STOP to 24365`.
pub(super) const ANSWERS: [&str; 5] = ["text", "reply", "send", "sms", "txt"];
