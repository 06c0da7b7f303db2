// Why there is no answer, in a sentence for the counter: one for each code of the agent's problems.

import { language } from "./words.js";

/** French and English sentence of each code. */
export const PROBLEMS = {
  "agent-away": [
    "L'agent de ce poste ne répond pas. Est-il démarré ?",
    "The agent on this machine does not answer. Is it running?",
  ],
  "host-not-allowed": [
    "La page a été ouverte sous une autre adresse que celle de l'agent.",
    "The page was opened under another address than the agent's.",
  ],
  "origin-not-allowed": [
    "Cette page n'est pas celle de l'agent.",
    "This page is not the agent's own.",
  ],
  "not-paired": [
    "Ce n'est pas le jeton de cet agent.",
    "This is not the token of this agent.",
  ],
  "not-found": ["L'agent n'a rien de ce nom.", "The agent has nothing of this name."],
  "method-not-allowed": [
    "L'agent est d'une autre version que la page : rechargez-la.",
    "The agent is of another version than the page: load it again.",
  ],
  "body-too-long": ["La demande est trop longue.", "The request is too long."],
  "body-not-json": [
    "L'agent est d'une autre version que la page : rechargez-la.",
    "The agent is of another version than the page: load it again.",
  ],
  "body-malformed": [
    "L'agent ne comprend pas la demande : vérifiez la saisie.",
    "The agent does not understand the request: check what was typed.",
  ],
  "field-invalid": [
    "Une saisie ne convient pas : vérifiez-la.",
    "Something that was typed does not fit: check it.",
  ],
  "idempotency-key-missing": [
    "L'agent est d'une autre version que la page : rechargez-la.",
    "The agent is of another version than the page: load it again.",
  ],
  "idempotency-key-malformed": [
    "L'agent est d'une autre version que la page : rechargez-la.",
    "The agent is of another version than the page: load it again.",
  ],
  "idempotency-key-reused": [
    "Cette demande a déjà servi : recommencez par une vérification.",
    "This request was used before: begin with a check again.",
  ],
  "idempotency-key-in-use": [
    "Cette demande est encore en cours.",
    "This request is still being worked on.",
  ],
  "quote-unknown": [
    "Ce devis n'est plus gardé : vérifiez à nouveau.",
    "This quote is not kept any more: check again.",
  ],
  "entry-unknown": [
    "Le registre n'a pas cette écriture.",
    "The ledger has no such entry.",
  ],
  "not-a-test-card": [
    "La simulation n'accepte que ses cartes de test.",
    "The simulation takes its test cards alone.",
  ],
  unfit: [
    "La demande ne va pas avec cette carte ou cette écriture.",
    "The request does not fit this card or this entry.",
  ],
  refused: [
    "La fédération n'admet pas ce poste, ou pas à cela.",
    "The federation does not admit this till, or not to this.",
  ],
  busy: ["L'agent est trop occupé : redemandez.", "The agent has too much to do: ask again."],
  unreachable: [
    "Personne ne peut être joint, et rien n'a été envoyé. Redemandez plus tard.",
    "Nobody could be reached, and nothing was sent. Ask again later.",
  ],
  "outcome-unknown": [
    "On ne sait pas encore ce que la demande est devenue. Demandez-le : elle ne comptera qu'une fois.",
    "It is not known yet what became of the request. Ask: it counts once.",
  ],
  "ledger-contradicted": [
    "Des membres ont signé deux registres contraires. N'allez pas plus loin, prévenez votre fédération.",
    "Members have signed two ledgers that contradict each other. Go no further, and tell your federation.",
  ],
  "not-kept": [
    "L'agent ne peut pas écrire dans son dossier : le disque est-il plein ?",
    "The agent cannot write to its folder: is the disk full?",
  ],
};

/** What is wrong with a field, by the end of its JSON pointer. */
export const FIELDS = {
  nir: [
    "Quinze caractères, clé comprise ; la clé doit correspondre.",
    "Fifteen characters with the key, which must fit.",
  ],
  birth_date: ["Huit chiffres : année, mois, jour.", "Eight digits: year, month, day."],
  birth_rank: ["Un chiffre de 1 à 9.", "A digit from 1 to 9."],
  regime: ["Le code du régime, en chiffres.", "The code of the regime, in digits."],
  payer_number: ["2 à 10 chiffres.", "2 to 10 digits."],
  member_number: ["1 à 32 lettres ou chiffres.", "1 to 32 letters or digits."],
  complementary: [
    "Deux fois le même organisme.",
    "The same insurer twice.",
  ],
  code: ["Un code LPP a 7 chiffres.", "An LPP code has 7 digits."],
  price_cents: ["Un prix en euros, comme 140 ou 140,50.", "A price in euros, such as 140 or 140.50."],
  items: [
    "Vérifiez les lignes : un verre a un œil, le reste n'en a pas ; huit lignes au plus, sans doublon.",
    "Check the lines: a lens has an eye, other items have none; eight lines at most, none twice.",
  ],
  prescription: ["Une date qui n'est pas à venir.", "A date that is not to come."],
};

/** The sentence of a problem. */
export function sayProblem({ code }) {
  return spoken(PROBLEMS[code] ?? PROBLEMS["agent-away"]);
}

/** The sentence of a field, by its last name. */
export function sayField(name) {
  return spoken(FIELDS[name] ?? PROBLEMS["field-invalid"]);
}

function spoken([french, english]) {
  return language() === "fr" ? french : english;
}
