use fake::{
    Fake,
    faker::{
        company::en::CompanyName,
        lorem::en::{Sentence, Words},
        name::en::{FirstName, LastName},
    },
};
use rand_pcg::Pcg64;

/// Area codes. Their numbers 555-0100 to 555-0199 are reserved for fiction.
const AREA_CODES: [u32; 20] = [
    201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228,
];
/// Numbers of one area code, from 555-0100 on. Some of the others are scripted recipients.
const NUMBERS_PER_AREA: usize = 50;

/// Contacts with different numbers.
pub(super) const CONTACTS_MAX: usize = AREA_CODES.len() * NUMBERS_PER_AREA;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) first_name: String,
    pub(super) phone: String,
    pub(super) email: String,
}

impl Contact {
    /// `number` is below [`CONTACTS_MAX`].
    pub(super) fn made_up(number: usize, random: &mut Pcg64) -> Self {
        let first_name: String = FirstName().fake_with_rng(random);
        let last_name: String = LastName().fake_with_rng(random);
        let letters = |name: &str| -> String {
            let lower = name.to_ascii_lowercase();
            lower.chars().filter(char::is_ascii_lowercase).collect()
        };
        let area = AREA_CODES[number / NUMBERS_PER_AREA % AREA_CODES.len()];
        Self {
            phone: format!("+1{area}55501{:02}", number % NUMBERS_PER_AREA),
            // The number makes the address unique; .example is reserved.
            email: format!(
                "{}.{}{number}@mail.example",
                letters(&first_name),
                letters(&last_name)
            ),
            first_name,
        }
    }
}

/// A text from the shop.
pub(super) fn ours(to: &Contact, random: &mut Pcg64) -> String {
    let name = &to.first_name;
    let order: u32 = (10_000..100_000).fake_with_rng(random);
    match (0..6).fake_with_rng::<u8, _>(random) {
        0 => format!("Hi {name}, your order {order} is on its way."),
        1 => format!(
            "Hello {name}! Your table for {} is booked. See you soon.",
            order % 6 + 2
        ),
        2 => format!("{name}, your code is {order}. It is good for ten minutes."),
        3 => format!("Good news, {name}: order {order} is ready for pickup."),
        4 => {
            let company: String = CompanyName().fake_with_rng(random);
            format!("Hi {name}, {company} has answered your question.")
        }
        _ => format!("Hi {name}, how was everything? Reply 1 to 5, or tell us more."),
    }
}

/// A text from a contact.
pub(super) fn theirs(random: &mut Pcg64) -> String {
    const ANSWERS: [&str; 8] = [
        "Thanks!",
        "Great, see you then 👍",
        "Who is this?",
        "Could you send that again, please?",
        "5",
        "Can I change the delivery address?",
        "Perfect, thank you so much.",
        "Is it too late to cancel?",
    ];
    match (0..ANSWERS.len() + 2).fake_with_rng::<usize, _>(random) {
        answer if answer < ANSWERS.len() => ANSWERS[answer].to_owned(),
        _ => Sentence(4..12).fake_with_rng(random),
    }
}

pub(super) fn subject(random: &mut Pcg64) -> String {
    let words: Vec<String> = Words(2..5).fake_with_rng(random);
    format!("About {}", words.join(" "))
}
