/** Every word of the console. Texts with values in them are functions. */
import { frame } from "./frame";
import { pages } from "./pages";

export const en = { ...frame, ...pages };
