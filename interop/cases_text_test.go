package interop_test

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Section 6: text is UTF-8, and where it is not that shows at the first byte
// that no valid text goes on with.

const greek = "κ\u1f79σμε" // 11 bytes

func textSections() []section {
	secs := []section{
		{"6.1 Empty text and fragments", []row{
			{id: "6.1.1", does: "text of 0 bytes", play: echoed(whole(opText, ""))},
			{id: "6.1.2", does: "text in three empty fragments", play: echoed(first(opText, ""), more(""), last(""))},
			{id: "6.1.3", does: "text in three fragments, the first and last empty", play: echoed(first(opText, ""), more("middle"), last(""))},
		}},
		{"6.2 Valid text, fragmented", validRows()},
		{"6.3 Invalid text, fragmented", []row{
			{id: "6.3.1", does: "text with a surrogate behind valid bytes: failed with 1007", play: refused(1007, whole(opText, greek+"\xed\xa0\x80edited"))},
			{id: "6.3.2", does: "the same in fragments of one byte: failed with 1007", play: refused(1007, bytewise(greek+"\xed\xa0\x80edited")...)},
		}},
		{"6.4 Invalid text must fail at once", failFastRows()},
	}
	for i, g := range sequences() {
		no := i + 5
		s := section{title: fmt.Sprintf("6.%d %s", no, g.what)}
		for j, seq := range g.seqs {
			s.rows = append(s.rows, sequenceRow(fmt.Sprintf("6.%d.%d", no, j+1), seq))
		}
		secs = append(secs, s)
	}
	return secs
}

func bytewise(s string) []frame {
	frames := []frame{first(opText, s[:1])}
	for i := 1; i < len(s); i++ {
		frames = append(frames, more(s[i:i+1]))
	}
	frames[len(frames)-1].fin = true
	return frames
}

func validRows() []row {
	const one, two = "Hello-µ@ßöä", "üàá-UTF-8!!"
	return []row{
		{id: "6.2.1", does: "text with characters of two bytes", play: echoed(whole(opText, one+two))},
		{id: "6.2.2", does: "the same in two fragments, cut between characters", play: echoed(first(opText, one), last(two))},
		{id: "6.2.3", does: "the same in fragments of one byte", play: echoed(bytewise(one + two)...)},
		{id: "6.2.4", does: "text with characters of two and three bytes in fragments of one byte", play: echoed(bytewise(greek)...)},
	}
}

// failFastRows send three parts of which the second makes the text invalid,
// and wait behind each. The third is not sent: walve must not wait for it.
func failFastRows() []row {
	const tail = "\x80\x80edited"
	whole4 := [3]string{greek, "\xf4\x90\x80\x80", "edited"} // beyond U+10FFFF
	cut4 := [3]string{greek + "\xf4", "\x90", tail}          // at the byte that shows it
	// That the first part alone is accepted is seen in memory, by silence, and
	// over TCP by a message that begins with it and ends well.
	accepted := func(p *rawPeer, parts [3]string) {
		end := ""
		if !utf8.ValidString(parts[0]) {
			end = "\x8f\xbf\xbf"
		}
		p.send(first(opText, parts[0]), last(end))
		p.wantMessage(opText, []byte(parts[0]+end))
	}
	inFrames := func(parts [3]string) func(*rawPeer) {
		return func(p *rawPeer) {
			accepted(p, parts)
			p.send(first(opText, parts[0]))
			p.wantQuiet()
			p.send(more(parts[1]))
			p.failed(1007)
		}
	}
	inChops := func(parts [3]string) func(*rawPeer) {
		return func(p *rawPeer) {
			accepted(p, parts)
			text := strings.Join(parts[:], "")
			b := whole(opText, text).append(nil, !p.server)
			one := len(b) - len(text) + len(parts[0])
			p.write(b[:one])
			p.wantQuiet()
			p.write(b[one : one+len(parts[1])])
			p.failed(1007)
		}
	}
	const fails = ": failed with 1007 then, without the third"
	return []row{
		{id: "6.4.1", does: "text in three fragments, the second with a character beyond U+10FFFF" + fails, play: inFrames(whole4)},
		{id: "6.4.2", does: "text in three fragments, the second just the byte that makes it invalid" + fails, play: inFrames(cut4)},
		{id: "6.4.3", does: "as 6.4.1, in three parts of one frame" + fails, play: inChops(whole4)},
		{id: "6.4.4", does: "as 6.4.2, in three parts of one frame" + fails, play: inChops(cut4)},
	}
}

func sequenceRow(id, seq string) row {
	shown := fmt.Sprintf("%x", seq)
	if len(seq) > 20 {
		shown = fmt.Sprintf("%x... (%d bytes)", seq[:20], len(seq))
	}
	if utf8.ValidString(seq) {
		return row{id: id, does: "text " + shown, play: echoed(whole(opText, seq))}
	}
	return row{id: id, does: "text " + shown + ": failed with 1007", play: refused(1007, whole(opText, seq))}
}

type sequenceGroup struct {
	what string
	seqs []string
}

// sequences are the groups of the UTF-8 decoder stress test by Markus Kuhn,
// which the testsuite numbers 6.5 to 6.23.
func sequences() []sequenceGroup {
	missing := []string{ // the last continuation byte
		"\xc0", "\xe0\x80", "\xf0\x80\x80", "\xf8\x80\x80\x80", "\xfc\x80\x80\x80\x80",
		"\xdf", "\xef\xbf", "\xf7\xbf\xbf", "\xfb\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf",
	}
	return []sequenceGroup{
		{"Some valid text", []string{"hello$world", "hello¢world", "hello€world", "hello\U00024B62world", greek}},
		{"All prefixes of a valid text", prefixes(greek)},
		{"First sequence of each length", []string{"\x00", "\u0080", "\u0800", "\U00010000"}},
		{"First sequences of five and six bytes (invalid)", []string{"\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80"}},
		{"Last sequence of each length", []string{"\x7f", "\u07ff", "\uffff", "\U0010ffff"}},
		{"Last sequences of four, five and six bytes (invalid)", []string{"\xf7\xbf\xbf\xbf", "\xfb\xbf\xbf\xbf\xbf", "\xfd\xbf\xbf\xbf\xbf\xbf"}},
		{"Other boundaries", []string{"\ud7ff", "\ue000", "\ufffd", "\U0010ffff", "\xf4\x90\x80\x80"}},
		{"Continuation bytes without a start", slices.Concat([]string{"\x80", "\xbf"}, prefixes("\x80\xbf\x80\xbf\x80\xbf")[1:], []string{byteRange(0x80, 0xbf, "")})},
		{"Starts without continuation bytes", []string{
			byteRange(0xc0, 0xdf, " "), byteRange(0xe0, 0xef, " "), byteRange(0xf0, 0xf7, " "), byteRange(0xf8, 0xfb, " "), byteRange(0xfc, 0xfd, " "),
		}},
		{"Sequences without their last byte", missing},
		{"Incomplete sequences, joined", []string{strings.Join(missing, "")}},
		{"Bytes that occur nowhere", []string{"\xfe", "\xff", "\xfe\xfe\xff\xff"}},
		{"Overlong ASCII", []string{"\xc0\xaf", "\xe0\x80\xaf", "\xf0\x80\x80\xaf", "\xf8\x80\x80\x80\xaf", "\xfc\x80\x80\x80\x80\xaf"}},
		{"Largest overlong sequences", []string{"\xc1\xbf", "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf", "\xf8\x87\xbf\xbf\xbf", "\xfc\x83\xbf\xbf\xbf\xbf"}},
		{"Overlong NUL", []string{"\xc0\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xf8\x80\x80\x80\x80", "\xfc\x80\x80\x80\x80\x80"}},
		{"Single surrogates", []string{
			"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbe\x80", "\xed\xbf\xbf",
		}},
		{"Paired surrogates", pairedSurrogates()},
		{"Characters that Unicode assigns to nobody (valid)", nonCharacters()},
		{"Specials (valid)", []string{"\ufff9", "\ufffa", "\ufffb", "\ufffc", "\ufffd", "\ufffe", "\uffff"}},
	}
}

func prefixes(s string) (out []string) {
	for i := range len(s) {
		out = append(out, s[:i+1])
	}
	return out
}

func byteRange(from, to int, sep string) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		b.WriteByte(byte(i))
		b.WriteString(sep)
	}
	return b.String()
}

func pairedSurrogates() (out []string) {
	for _, high := range []string{"\xed\xa0\x80", "\xed\xad\xbf", "\xed\xae\x80", "\xed\xaf\xbf"} {
		for _, low := range []string{"\xed\xb0\x80", "\xed\xbf\xbf"} {
			out = append(out, high+low)
		}
	}
	return out
}

// nonCharacters are the last two code points of every plane.
func nonCharacters() (out []string) {
	for plane := rune(0); plane <= 0x10; plane++ {
		out = append(out, string(plane<<16|0xfffe), string(plane<<16|0xffff))
	}
	return out
}
