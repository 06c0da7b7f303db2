// The page's program. Without a document, as when a test judges receipts with the very script of
// the page, it only offers its checks.

import { startPage } from "./page.js";
import { verifyReceipt } from "./receipt.js";
import { readRoster } from "./roster.js";
import { isPublicKey, isSigned } from "./signature.js";
import { isAddress } from "./address.js";
import { REASONS } from "./reasons.js";
import { ALL_WORDS } from "./words.js";

const checks = { readRoster, verifyReceipt, isPublicKey, isSigned, isAddress };
globalThis.vitrail = { ...checks, REASONS, ALL_WORDS };
if (globalThis.document !== undefined) startPage(globalThis.document);
