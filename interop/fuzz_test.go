package interop_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/bodokaiser/walve/internal/memconn"
)

// FuzzDifferential plays scripts of messages, fragments and control frames
// with gorilla, walve and bare frames at either end: whoever plays, both ends
// must see the same messages and the same close.
func FuzzDifferential(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{3, 0, 0, 0, 1, 0, 2, 0, 10, 0, 11, 5, 12, 6, 77})
	f.Add([]byte{0, 1, 1, 30, 2, 0, 3, 7, 1, 6, 2, 5, 3, 7, 0, 1, 0, 0, 14, 0, 200, 1, 1, 2, 6, 7, 6, 8, 6, 9, 0, 31})
	f.Add([]byte{255, 0, 13, 61, 4, 0, 0, 0, 0, 0, 0, 1, 3, 0, 15, 0, 15, 0, 14, 7, 9, 4, 1, 1, 7, 4, 7, 5, 7, 6, 0, 3, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{1, 1, 10, 1, 0, 4, 0, 3, 7, 2, 7, 2, 7, 2, 7, 2, 7, 99, 0, 3, 7, 3, 7, 3, 7, 3, 7, 3, 7, 98})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := decodeScript(b)
		for _, client := range casts {
			for _, server := range casts {
				if client.name == "frames" && server.name == "frames" {
					continue
				}
				if err := s.play(t, client, server); err != nil {
					t.Errorf("%s client, %s server, %+v: %v", client.name, server.name, s.outline(), err)
				}
			}
		}
	})
}

// outline is the script without its payloads.
func (s script) outline() string {
	var sizes [2][]string
	for side, messages := range s.messages {
		for _, m := range messages {
			form := fmt.Sprint(m.op)
			for i, p := range m.parts {
				form += fmt.Sprintf(" %dp+%d", m.pings[i], len(p))
			}
			sizes[side] = append(sizes[side], fmt.Sprintf("%s %dp", form, m.pings[len(m.parts)]))
		}
	}
	return fmt.Sprintf("%q, gorilla's frames %d, closed by %d with %d %q", sizes, s.fragments, s.closer, s.code, s.reason)
}

// play plays the script over an in-memory pipe.
func (s script) play(t *testing.T, client, server cast) error {
	var ends [2]net.Conn
	tr := func(t testing.TB) (net.Conn, net.Conn) {
		// Room for all that a script sends: gorilla's reader waits for its
		// writer to answer a Ping, and gives the Pong up after a second.
		a, b := memconn.Pipe(memconn.Buffer(4 << 20))
		ends = [2]net.Conn{a, b}
		return a, b
	}
	var actors [2]actor
	actors[0], actors[1] = connect(t, tr,
		func(nc net.Conn) (actor, error) { return client.dial(nc, s) },
		func(w http.ResponseWriter, r *http.Request) (actor, error) { return server.upgrade(w, r, s) })
	cut := func() {
		ends[0].Close()
		ends[1].Close()
	}
	defer cut()
	defer time.AfterFunc(limit, cut).Stop()

	var records [2]record
	sent, all, ended := make(chan error, 2), make(chan int, 2), make(chan error, 2)
	for side, a := range actors {
		go func() {
			var err error
			for _, m := range s.messages[side] {
				if err = a.send(m); err != nil {
					break
				}
			}
			sent <- err
		}()
		go func() {
			r, messages, pongs := &records[side], len(s.messages[1-side]), s.pings(side)
			walve, ours := a.(*walveActor)
			if ours {
				pongs = 0 // send has waited for them
			}
			r.seen = func() {
				if len(r.messages) == messages && r.pongs == pongs {
					all <- side
				}
			}
			r.seen()
			err := a.receive(r)
			if ours {
				walve.c.Close() // between two walve ends the reply is due only now
			}
			ended <- err
		}()
	}
	var errs []error
	for range 2 {
		if err := <-sent; err != nil {
			return err
		}
	}
	for range 2 {
		select {
		case <-all:
		case err := <-ended:
			return fmt.Errorf("an end stopped before it had all: %v", err)
		}
	}
	if err := actors[s.closer].close(s.code, s.reason); err != nil {
		return err
	}
	for range 2 {
		errs = append(errs, <-ended)
	}
	for side := range records {
		want := s.expected(side)
		if side == s.closer && !actors[side].seesReply() {
			records[side].code, records[side].closed = want.code, true
		}
		if err := want.compare(records[side]); err != nil {
			errs = append(errs, fmt.Errorf("side %d: %w", side, err))
		}
	}
	return errors.Join(errs...)
}
