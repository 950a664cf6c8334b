/** What the texts count and begin with. */
export const plural = (n: number, one: string, many: string): string => `${n.toLocaleString("en")} ${n === 1 ? one : many}`;
export const capital = (text: string): string => {
  const words = text.replace(/[_-]+/g, " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
};
