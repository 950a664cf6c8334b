import { expect, it } from "vitest";
import { unstyled } from "./mail";

it("style attributes get another name, style sheets go", () => {
  expect(unstyled('<p class="a" style="color:red">style = "x"</p>')).toBe('<p class="a" data-style="color:red">style = "x"</p>');
  expect(unstyled("<style>p{}</style ><b>x</b>")).toBe("<b>x</b>");
});
