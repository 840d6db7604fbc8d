/** Text in commands that are copied into a shell. */

/** For a POSIX shell, whatever stands in the text. */
export const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`
