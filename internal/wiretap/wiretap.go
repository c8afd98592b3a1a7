// Package wiretap shows tests what crosses a WebSocket connection between two
// ends that are not theirs.
package wiretap

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/bodokaiser/walve"
)

// A Tap relays a connection, and keeps all of it.
type Tap struct {
	client, server bytes.Buffer // what each has sent
	done           sync.WaitGroup
}

// Relay begins to relay between two ends that speak TCP. It closes both
// connections when both ends have ended theirs.
func Relay(client, server net.Conn) *Tap {
	t := new(Tap)
	var both sync.WaitGroup
	relay := func(to, from net.Conn, kept *bytes.Buffer) {
		io.Copy(to, io.TeeReader(from, kept))
		to.(*net.TCPConn).CloseWrite()
	}
	both.Go(func() { relay(server, client, &t.client) })
	both.Go(func() { relay(client, server, &t.server) })
	t.done.Go(func() {
		both.Wait()
		client.Close()
		server.Close()
	})
	return t
}

// A Message is a message as it was on the wire.
type Message struct {
	Compressed bool // RSV1 stood in its first frame
	Frames     int
	Size       int // bytes of payload
}

// A Record is what a Tap has kept.
type Record struct {
	Offer, Answer  string // Sec-WebSocket-Extensions, by client and server
	Client, Server []Message
}

// Record waits for the end of the connection, and says what has crossed it.
func (t *Tap) Record() (*Record, error) {
	t.done.Wait()
	client, server := bufio.NewReader(&t.client), bufio.NewReader(&t.server)
	req, err := http.ReadRequest(client)
	if err != nil {
		return nil, err
	}
	res, err := http.ReadResponse(server, req)
	if err != nil {
		return nil, err
	}
	r := &Record{Offer: extensions(req.Header), Answer: extensions(res.Header)}
	r.Client, err = messages(client)
	if err != nil {
		return nil, fmt.Errorf("from the client: %w", err)
	}
	r.Server, err = messages(server)
	if err != nil {
		return nil, fmt.Errorf("from the server: %w", err)
	}
	return r, nil
}

func extensions(h http.Header) string { return strings.Join(h["Sec-Websocket-Extensions"], ", ") }

// messages reads messages until the Close frame or the end. RFC 7692, 6.1: RSV1
// is for the first frame of a message.
func messages(r io.Reader) (all []Message, err error) {
	fr := walve.NewFrameReader(r)
	for {
		h, err := fr.Next()
		if err == io.EOF || err == nil && h.Opcode == walve.OpClose {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		if h.RSV1 && (h.Opcode.IsControl() || h.Opcode == walve.OpContinuation) || h.RSV2 || h.RSV3 {
			return all, fmt.Errorf("reserved bits in %+v", h)
		}
		switch {
		case h.Opcode.IsControl():
			continue
		case h.Opcode != walve.OpContinuation:
			all = append(all, Message{Compressed: h.RSV1})
		case len(all) == 0:
			return all, errors.New("a continuation of nothing")
		}
		m := &all[len(all)-1]
		m.Frames++
		m.Size += int(h.Length)
	}
}
