package main

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"unicode/utf8"

	"github.com/bodokaiser/walve"
)

const catUsage = `
walve cat talks to any WebSocket server by hand or in a pipe.

Usage:

    walve cat [flags] URL

A line of standard input is sent as a text message, without its line end, and a
text message that comes is a line of standard output. Binary messages come out as
they are, or as a hex dump on a terminal. With -binary nothing is taken for a
line: standard input is sent in binary messages as it comes, and the payload of
all messages comes out byte for byte.

The end of standard input (^D) closes the connection when the server has answered
what it was sent before; -keep waits until the server closes. How the server has
closed is told on standard error, and the exit code is 0 only for status 1000 and
for none.

-frames shows every data frame on standard error, with < for those that come and >
for those that go, and its header: opcode, fin, rsv (if set), masked, length.

Examples:

    walve cat wss://host/chat
    echo '{"subscribe":"news"}' | walve cat -keep wss://host/feed | jq .
    walve cat -binary wss://host/upload < photo.jpg
    walve cat -frames -subprotocol mqtt -header 'Origin: https://host' wss://host/mqtt
`

func runCat(e *env, args []string) error {
	var cf clientFlags
	var binary, frames, keep bool
	fs := flag.NewFlagSet("cat", flag.ContinueOnError)
	cf.register(fs)
	fs.BoolVar(&binary, "binary", false, "bytes instead of lines, in binary messages")
	fs.BoolVar(&frames, "frames", false, "show the headers of frames on standard error")
	fs.BoolVar(&keep, "keep", false, "after the end of standard input, wait until the server closes")
	if err := e.parse(fs, args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return usagef("cat takes one URL, behind the flags, for example: walve cat wss://host/path")
	}
	c, err := cf.client(fs.Arg(0))
	if err != nil {
		return err
	}
	ws, err := c.dial(e.stop)
	if err != nil {
		return err
	}
	if isTerminal(e.stdin) && isTerminal(e.stderr) {
		fmt.Fprintf(e.stderr, "connected to %s; ^D closes\n", redacted(c.dialer.URL))
	}
	if p := ws.Subprotocol(); p != "" && (frames || isTerminal(e.stderr)) {
		fmt.Fprintf(e.stderr, "subprotocol: %s\n", p)
	}
	k := &cat{ws: ws, in: e.stdin, out: e.stdout, terminal: isTerminal(e.stdout), binary: binary}
	if frames {
		k.trace = e.stderr
	}
	s := &session{ws: ws, receive: k.receive, send: k.sendLines, keep: keep}
	if binary {
		s.send = k.sendBytes
	}
	err = s.run(e)
	if code, reason, ok := ws.CloseStatus(); ok && e.stop.Err() == nil {
		if reason != "" {
			reason = fmt.Sprintf(", %q", reason)
		}
		fmt.Fprintf(e.stderr, "closed by the server: %v%s\n", code, reason)
	}
	return err
}

// cat is what walve cat does with messages.
type cat struct {
	ws       *walve.Conn
	in       io.Reader
	out      io.Writer
	trace    io.Writer // nil: none
	terminal bool      // out is one
	binary   bool
}

// maxLine is the longest line that is sent in one frame; longer ones are
// fragmented.
const maxLine = 64 << 10

// sendLines sends a message for each line.
func (k *cat) sendLines() error {
	lines := bufio.NewReaderSize(k.in, maxLine)
	op := walve.OpText
	for n := 1; ; {
		line, err := lines.ReadSlice('\n')
		fin := !errors.Is(err, bufio.ErrBufferFull)
		if err == io.EOF && len(line) == 0 && op == walve.OpText {
			return nil
		}
		if fin && err != nil && err != io.EOF {
			return err
		}
		if fin {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
			if op == walve.OpText && !utf8.Valid(line) {
				// The server would have to fail the connection: RFC 6455, 8.1.
				return &advised{fmt.Errorf("line %d is not UTF-8, which a text message must be", n), "-binary"}
			}
		}
		if err := k.sendFrame(op, fin, line); err != nil {
			return err
		}
		op = walve.OpContinuation
		if fin {
			op = walve.OpText
			n++
		}
		if err == io.EOF {
			return nil
		}
	}
}

// sendBytes sends a binary message for whatever a read gives.
func (k *cat) sendBytes() error {
	buf := make([]byte, maxLine)
	for {
		n, err := k.in.Read(buf)
		if n > 0 {
			if err := k.sendFrame(walve.OpBinary, true, buf[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (k *cat) sendFrame(op walve.Opcode, fin bool, p []byte) error {
	h := walve.Header{Fin: fin, Opcode: op, Length: int64(len(p))}
	w, err := k.ws.NextWriter(h)
	if err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	h.Masked = true // a client's frames are: RFC 6455, 5.1
	k.show('>', h)
	return nil
}

// receive writes out messages until the server closes.
func (k *cat) receive() error {
	var op walve.Opcode // of the message
	for {
		h, r, err := k.ws.NextReader()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		k.show('<', h)
		if h.Opcode != walve.OpContinuation {
			op = h.Opcode
		}
		text := op == walve.OpText && !k.binary
		if err := k.copyFrame(r, text); err != nil {
			return err
		}
		if h.Fin && text {
			if _, err := io.WriteString(k.out, "\n"); err != nil {
				return err
			}
		}
	}
}

func (k *cat) copyFrame(r io.Reader, text bool) error {
	if !k.terminal {
		_, err := io.Copy(k.out, r)
		return err
	}
	if text {
		_, err := io.Copy(printable{k.out}, r)
		return err
	}
	dump := hex.Dumper(k.out)
	if _, err := io.Copy(dump, r); err != nil {
		return err
	}
	return dump.Close()
}

func (k *cat) show(direction byte, h walve.Header) {
	if k.trace == nil {
		return
	}
	rsv := ""
	for i, set := range []bool{h.RSV1, h.RSV2, h.RSV3} {
		if set {
			rsv += fmt.Sprintf(" rsv%d", i+1)
		}
	}
	fmt.Fprintf(k.trace, "%c %v fin=%t%s masked=%t length=%d\n", direction, h.Opcode, h.Fin, rsv, h.Masked, h.Length)
}

// A printable shows control characters as ^X: what a server sends must not
// control the terminal.
type printable struct{ w io.Writer }

func (p printable) Write(b []byte) (int, error) {
	shown := make([]byte, 0, len(b))
	for _, c := range b {
		if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
			shown = append(shown, '^', c^0x40)
		} else {
			shown = append(shown, c)
		}
	}
	if _, err := p.w.Write(shown); err != nil {
		return 0, err
	}
	return len(b), nil
}

// redacted is a URL without its password.
func redacted(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return "the server"
	}
	return u.Redacted()
}
