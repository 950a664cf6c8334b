export { Models } from "./models";
export { Grid } from "./grid";
