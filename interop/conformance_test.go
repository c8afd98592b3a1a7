package interop_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/internal/memconn"
)

var update = flag.Bool("update", false, "write CONFORMANCE.md")

const conformanceFile = "../CONFORMANCE.md"

// A row is a case of the Autobahn testsuite by its number: what it is known to
// check, from RFC 6455 and in our own code.
type row struct {
	id   string
	does string // what the peer sends and, unless that is the message back and a clean end, what must come
	play func(p *rawPeer)
	chop int // how the peer's bytes are chopped, see rawPeer
	big  bool

	deflate *negotiation // nil: permessage-deflate is neither offered nor accepted

	// A row of which OK does not say all: the word that stands there, and why.
	verdict, reason string
}

// A section is a group of rows, as in the testsuite's report.
type section struct {
	title string
	rows  []row
}

func sections() []section {
	return slices.Concat(framingSections(), textSections(), closeSections(), limitSections(), deflateSections(), ownDeflateSections())
}

// What has no rows, and why.
const missing = `The testsuite has no cases numbered 8 or 11.
`

var roles = []string{"server", "client"}

// TestConformance plays every row with walve as server and as client, and
// holds CONFORMANCE.md against what came of it.
func TestConformance(t *testing.T) {
	all := sections()
	results := make(map[string]*[2]string)
	t.Run("case", func(t *testing.T) {
		for _, s := range all {
			for _, r := range s.rows {
				if results[r.id] != nil || r.verdict != "" && r.reason == "" {
					t.Errorf("case %s is there twice, or differs without a reason", r.id)
				}
				result := new([2]string)
				results[r.id] = result
				for i, role := range roles {
					t.Run(r.id+"/"+role, func(t *testing.T) {
						t.Parallel()
						result[i] = r.check(t, role == "client")
					})
				}
			}
		}
	})
	for _, r := range results {
		if r[0] == "" || r[1] == "" {
			return // not all were asked for
		}
	}
	compareTable(t, conformanceTable(all, results))
}

// check plays the row over TCP and, where the sizes allow it, in memory, where
// the test has the clock: "nothing comes" is exact there.
func (r row) check(t *testing.T, asClient bool) string {
	errs := []error{r.overTCP(t, asClient)}
	if !r.big {
		synctest.Test(t, func(t *testing.T) {
			errs = append(errs, r.inMemory(asClient))
		})
	}
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
		return "FAILED"
	}
	if r.verdict != "" {
		return r.verdict
	}
	return "OK"
}

func (r row) overTCP(t *testing.T, asClient bool) error {
	client, server := tcp(t)
	return r.playOver(client, server, asClient, nil)
}

func (r row) inMemory(asClient bool) error {
	client, server := memconn.Pipe(memconn.ResetUnread())
	raw, ours := client, server
	if asClient {
		raw, ours = server, client
	}
	ours.SetMaxRead(max(r.chop, 0))
	return r.playOver(client, server, asClient, func(p *rawPeer) error {
		const a = time.Second
		raw.SetReadDeadline(time.Now().Add(a))
		defer raw.SetDeadline(time.Now().Add(limit))
		if b, err := p.in.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read %x, %v where walve has nothing to say", b, err)
		}
		return nil
	})
}

// playOver plays the row over a connection with an echo by walve at one end.
func (r row) playOver(client, server net.Conn, asClient bool, quiet func(*rawPeer) error) error {
	p := &rawPeer{conn: client, server: asClient, chop: r.chop, quiet: quiet, ended: make(chan error, 1), terms: r.deflate.terms(!asClient)}
	if asClient {
		p.conn = server
		go func() {
			d := walve.Dialer{KeepAlive: -1, Compression: r.deflate.compression()}
			c, err := d.Handshake(context.Background(), client, peerURL)
			if err == nil {
				err = echoWalve(c)
			}
			p.ended <- err
		}()
	} else {
		defer serve(server, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			u := walve.Upgrader{KeepAlive: -1, Compression: r.deflate.compression()}
			c, err := u.Upgrade(w, req)
			if err == nil {
				err = echoWalve(c)
			}
			p.ended <- err
		}))()
	}
	defer p.conn.Close()
	p.conn.SetDeadline(time.Now().Add(limit))
	if err := p.shakeHands(); err != nil {
		return err
	}
	r.play(p)
	return p.err
}

func conformanceTable(all []section, results map[string]*[2]string) []byte {
	var b bytes.Buffer
	counts := make(map[string]int)
	for _, r := range results {
		counts[r[0]]++
		counts[r[1]]++
	}
	fmt.Fprintf(&b, conformanceHead, len(results), counts["OK"], counts["informational"], counts["differs"], counts["FAILED"])
	for _, s := range all {
		fmt.Fprintf(&b, "\n## %s\n\n| case | what the peer does, and what it must get | server | client | note |\n|---|---|---|---|---|\n", s.title)
		for _, r := range s.rows {
			res := results[r.id]
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.id, strings.ReplaceAll(r.does, "|", `\|`), res[0], res[1], r.reason)
		}
	}
	fmt.Fprintf(&b, "\n%s", missing)
	return b.Bytes()
}

const conformanceHead = `# Conformance

Generated by ` + "`go test ./interop -run TestConformance -update`" + `; the same test without -update fails when this file is out of date.

Rows have the numbers of the Autobahn testsuite's cases; those of D are our own. They are played by raw sockets in code of
our own (interop/), with walve as server and as client, each over TCP and, but for sections 9, 12 and 13, in memory too,
where the clock is the test's: "nothing comes yet" is exact there and no row depends on the machine's speed. walve's end is an
echo with ReadMessage and WriteMessage. A row is stricter than the testsuite's verdict of the same name: bytes are compared,
order counts, each frame's length, mask and bits are checked, and so is the error that walve's end got; a failed connection
must show the Close frame with its code and then the end, at once; after a clean closing handshake the server, and not the
client, ends the TCP connection first.

In sections 12, 13 and D the peer compresses and inflates by Go's compress/flate, and what walve sends into a window of less
than 15 bits is inflated by a decoder that refuses every distance beyond that. Sec-WebSocket-Extensions is compared whole,
RSV1 must stand in the first frame and in no other, and 256 bytes and more of JSON, HTML or prose must come
back compressed and smaller. The testsuite's files are not here: the messages are cut from data of the same kinds that is made
up. It sends 1000 messages in each case; here there are as many as wrap the window of 32 KiB, and no more than the row
says. Each is sent when the one before is back. As server the peer asks for no takeover and a window by its answer, whether
walve has mentioned them in its offer or not (RFC 7692, 7.1.1.2), where the testsuite plays no case.

%d cases, both roles: %d OK, %d informational, %d differ, %d failed.

* OK: what the row says is what came.
* informational: the testsuite judges nothing here; what the note says is checked.
* differs: the testsuite, or a release of it, wants something else; the note says why walve does not.

Where a row says no more, the message comes back and a closing handshake with 1000 ends it.
`

func compareTable(t *testing.T, table []byte) {
	if *update {
		if err := os.WriteFile(conformanceFile, table, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	had, err := os.ReadFile(conformanceFile)
	if err != nil {
		t.Fatal(err)
	}
	have, want := strings.Split(string(had), "\n"), strings.Split(string(table), "\n")
	for i := range min(len(have), len(want)) {
		if have[i] != want[i] {
			t.Fatalf("CONFORMANCE.md, line %d, is out of date (run with -update):\n%s\nnow:\n%s", i+1, have[i], want[i])
		}
	}
	if len(have) != len(want) {
		t.Fatalf("CONFORMANCE.md has %d lines instead of %d (run with -update)", len(have), len(want))
	}
}

// echoed sends frames of which the data frames are one message, and wants that
// back.
func echoed(frames ...frame) func(*rawPeer) {
	var message []byte
	for _, f := range frames {
		if f.op < opClose {
			message = append(message, f.payload...)
		}
	}
	return func(p *rawPeer) {
		p.send(frames...)
		p.wantMessage(frames[0].op, message)
		p.clean()
	}
}

// refused sends frames for which walve must fail the connection with code.
func refused(code int, frames ...frame) func(*rawPeer) {
	return func(p *rawPeer) {
		p.send(frames...)
		p.failed(code)
	}
}

// echoedThenRefused is refused behind a message that must come back.
func echoedThenRefused(code int, message frame, frames ...frame) func(*rawPeer) {
	return func(p *rawPeer) {
		p.send(append([]frame{message}, frames...)...)
		p.wantMessage(message.op, message.payload)
		p.failed(code)
	}
}
