/** All words of the console come from one message file. */
export { en as t } from "./en";
