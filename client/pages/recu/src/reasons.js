// The closed list of reasons for a refusal, by number. A test holds it against the ledger's own.

/** Code, English and French sentence of each. */
export const REASONS = [
  {
    code: "ISSUER_UNKNOWN",
    en: "the issuer is neither a member of the roster nor a granted till",
    fr: "Ce poste ou cet organisme n'est pas admis dans la fédération.",
  },
  {
    code: "GRANT_REVOKED",
    en: "the till's grant was revoked",
    fr: "L'habilitation de ce poste a été retirée.",
  },
  {
    code: "GRANT_EXPIRED",
    en: "the till's grant has expired",
    fr: "L'habilitation de ce poste a expiré.",
  },
  {
    code: "KIND_NOT_ALLOWED",
    en: "the issuer's role may not issue this kind of entry",
    fr: "Cet émetteur n'a pas le droit d'effectuer cette opération.",
  },
  {
    code: "REQUEST_REUSED",
    en: "the request id was used before for other bytes",
    fr: "Cet identifiant de demande a déjà servi pour une autre demande.",
  },
  {
    code: "REFERENCE_UNKNOWN",
    en: "a referenced entry is not in the log",
    fr: "La demande cite une écriture qui n'existe pas.",
  },
  {
    code: "REFERENCE_UNFIT",
    en: "a referenced entry is not of the kind that is needed",
    fr: "La demande cite une écriture qui ne convient pas.",
  },
  {
    code: "CATALOGUE_OUTDATED",
    en: "the catalogue is not the one in force",
    fr: "Le catalogue LPP utilisé n'est plus en vigueur.",
  },
  {
    code: "COVERAGE_EXPIRED",
    en: "a coverage is no longer valid",
    fr: "La prise en charge n'est plus valable.",
  },
  {
    code: "COVERAGE_SUPERSEDED",
    en: "the payer has replaced a coverage by a later one",
    fr: "La prise en charge a été remplacée par une plus récente.",
  },
  {
    code: "CLOCK_SKEW",
    en: "the entry was not issued within 120 s of its batch",
    fr: "L'horloge du poste est trop éloignée de celle de la fédération.",
  },
  {
    code: "DATE_OUT_OF_RANGE",
    en: "the date until which the entry runs is past or too far",
    fr: "La date de fin demandée est passée ou trop lointaine.",
  },
  {
    code: "SLOT_RESERVED",
    en: "another claim has reserved the slot",
    fr: "Cet équipement est déjà réservé par une autre demande.",
  },
  {
    code: "SLOT_HELD",
    en: "the slot is held until its renewal date",
    fr: "Le délai de renouvellement de cet équipement n'est pas écoulé.",
  },
  {
    code: "SLOT_NOT_HELD",
    en: "the claim named does not hold the slot",
    fr: "La demande citée ne réserve pas ou plus cet équipement.",
  },
  {
    code: "NOT_ENTITLED",
    en: "the issuer is neither the issuer of the entry named nor its payer",
    fr: "Seul l'émetteur de la demande, ou son payeur, peut faire cela.",
  },
  {
    code: "ALREADY_GRANTED",
    en: "the till's key has a grant already",
    fr: "Ce poste est déjà habilité.",
  },
  {
    code: "ROSTER_UNFIT",
    en: "the roster does not follow from the one in force",
    fr: "La composition proposée ne découle pas de celle en vigueur.",
  },
  {
    code: "LPP_CODE_MISTYPED",
    en: "the check digit of the LPP code is wrong",
    fr: "La clé du code LPP est fausse : vérifiez la saisie.",
  },
  {
    code: "LPP_CODE_UNKNOWN",
    en: "the LPP code is not in the catalogue",
    fr: "Ce code LPP ne figure pas au catalogue en vigueur.",
  },
  {
    code: "LPP_CODE_EXPIRED",
    en: "the LPP code is no longer in force",
    fr: "Ce code LPP n'est plus en vigueur.",
  },
  {
    code: "ITEMS_INCOMPATIBLE",
    en: "two items may not be billed together",
    fr: "Deux articles de la demande ne peuvent pas être facturés ensemble.",
  },
  {
    code: "ABOVE_PRICE_LIMIT",
    en: "the price is above the highest that is allowed",
    fr: "Le prix dépasse le prix limite de vente de cet équipement.",
  },
  {
    code: "NOT_FOR_THIS_AGE",
    en: "the item is for younger people",
    fr: "Cet équipement est réservé à des assurés plus jeunes.",
  },
  {
    code: "NOT_COVERED",
    en: "no payer covers the item",
    fr: "Aucun organisme ne prend cet équipement en charge.",
  },
  {
    code: "CONTRACT_ENDED",
    en: "the contract's rights do not run on this day",
    fr: "Les droits du contrat ne sont pas ouverts à cette date.",
  },
  {
    code: "OUTSIDE_NETWORK",
    en: "the payer pays this item in its network alone",
    fr: "Cet organisme ne prend cet équipement en charge que dans son réseau.",
  },
  {
    code: "PRESCRIPTION_EXPIRED",
    en: "the prescription is no longer valid at this age",
    fr: "L'ordonnance n'est plus valable.",
  },
  {
    code: "EARLY_RENEWAL_TOO_SOON",
    en: "the attested condition opens an early renewal later than today",
    fr: "Le renouvellement anticipé n'est pas encore possible pour ce motif.",
  },
  {
    code: "EARLY_RENEWAL_NOT_OPEN",
    en: "the attested condition opens no early renewal of this slot at this age",
    fr: "Ce motif n'ouvre pas droit à un renouvellement anticipé de cet équipement.",
  },
  {
    code: "RESERVATION_ENDED",
    en: "the reservation has run out",
    fr: "La réservation est arrivée à son terme.",
  },
  {
    code: "ALREADY_DELIVERED",
    en: "the slot has been delivered already",
    fr: "Cet équipement est déjà livré.",
  },
  {
    code: "NOT_DELIVERED",
    en: "the claim has not been delivered",
    fr: "La demande n'a pas encore été livrée.",
  },
  {
    code: "ALREADY_SETTLED",
    en: "this payer has settled the claim already",
    fr: "Cet organisme a déjà réglé cette demande.",
  },
  {
    code: "NOT_PAID",
    en: "there is no payment to recover",
    fr: "Il n'y a pas de paiement à récupérer.",
  },
  {
    code: "FOREIGN_SLOT_KEY",
    en: "the slot keys are not those of the insured person",
    fr: "Les droits réservés ne sont pas ceux de la personne assurée.",
  },
  {
    code: "AMOUNT_ABOVE_COVERAGE",
    en: "the amount is above what the coverage gives",
    fr: "Le montant demandé dépasse la prise en charge.",
  },
  {
    code: "RENEWAL_DATE_WRONG",
    en: "the renewal date is not the one that the coverage gives",
    fr: "La date de renouvellement ne correspond pas à la prise en charge.",
  },
  {
    code: "INVOICE_UNFIT",
    en: "the invoice does not fit the claim",
    fr: "La facture ne correspond pas à la demande.",
  },
];

/** The reason with this code, or `undefined`. */
export function reasonOf(code) {
  return REASONS.find((reason) => reason.code === code);
}
