// Starts the counter page.

import { Desk } from "./desk.js";

new Desk(document).start();
