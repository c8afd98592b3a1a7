package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/nats-io/nats.go"
)

const (
	partSize   = 32 << 10         // of an image, in one message
	hereEvery  = 10 * time.Second // see event
	writeLimit = 30 * time.Second // for a message, to a page that takes nothing
)

// A member is one page in one room.
type member struct {
	conn       *walve.Conn
	nc         *nats.Conn
	store      *store
	room, name string
	id         string
	out        *queue
	image      upload
}

// An upload is the image that the page sends: one at a time. It is used by
// read only.
type upload struct {
	id   string // empty: none
	left int64
}

func newMember(c *walve.Conn, nc *nats.Conn, st *store, room, name string) *member {
	return &member{conn: c, nc: nc, store: st, room: room, name: name, id: newID(), out: newQueue()}
}

// serve serves the page until its connection ends.
func (m *member) serve() {
	defer m.out.close()
	go m.write()
	m.out.put(event{Type: "you", From: m.id}.encode())

	// First what is new, then what was: nothing falls between. What is in both
	// the page knows by its ID.
	sub, err := m.nc.Subscribe(subject(m.room), func(msg *nats.Msg) { m.hear(msg.Data) })
	if err != nil {
		m.conn.CloseWithStatus(walve.StatusInternalError, "no connection to the others")
		return
	}
	defer sub.Unsubscribe()
	rooms, history := m.store.read(m.room)
	ok := m.out.put(event{Type: "rooms", Rooms: rooms}.encode())
	for _, e := range history {
		ok = ok && m.out.put(e.encode())
	}
	if !ok {
		m.conn.CloseWithStatus(walve.StatusTryAgainLater, "you do not keep up")
		return
	}

	m.publish(event{Type: "here", From: m.id, Name: m.name})
	defer m.publish(event{Type: "left", From: m.id})
	alive := time.NewTicker(hereEvery)
	defer alive.Stop()
	ended := make(chan error, 1)
	go func() { ended <- m.read() }()
	for {
		select {
		case <-alive.C:
			m.publish(event{Type: "here", From: m.id, Name: m.name})
		case <-ended:
			if m.image.id != "" {
				m.publish(event{Type: "cancel", ID: m.image.id})
			}
			return
		}
	}
}

func (m *member) publish(e event) error { return m.nc.Publish(subject(m.room), e.encode()) }

// hear passes on what happens in the room. It never waits: a page that does
// not keep up is dropped, and may come back later.
func (m *member) hear(msg []byte) {
	if id, ok := partID(msg); ok && m.out.owns(id) {
		msg = event{Type: "progress", ID: id, Size: int64(len(msg) - idSize)}.encode()
	} else if !ok {
		var e event
		if json.Unmarshal(msg, &e) == nil && e.Type == "here" && e.From != m.id && m.out.meet(e.From) {
			// It may not know of this one yet.
			m.publish(event{Type: "here", From: m.id, Name: m.name})
		}
	}
	if !m.out.put(msg) {
		// In a goroutine, as Close waits for up to a second.
		go m.conn.CloseWithStatus(walve.StatusTryAgainLater, "you do not keep up")
	}
}

// write sends what is in the queue.
func (m *member) write() {
	for {
		msg, ok := m.out.take()
		if !ok {
			return
		}
		op := walve.OpText
		if _, part := partID(msg); part {
			op = walve.OpBinary
		}
		m.conn.SetWriteDeadline(time.Now().Add(writeLimit))
		if m.conn.WriteMessage(op, msg) != nil {
			m.conn.Close()
			return
		}
	}
}

// read publishes what the page sends.
func (m *member) read() error {
	for {
		op, r, err := m.conn.NextMessage()
		if err != nil {
			return err
		}
		if op == walve.OpBinary {
			err = m.readImage(r)
		} else {
			err = m.readEvent(r)
		}
		if err != nil {
			m.conn.CloseWithStatus(walve.StatusPolicyViolation, fmt.Sprintf("%.100s", err))
			return err
		}
	}
}

func (m *member) readEvent(r io.Reader) error {
	var e event
	if err := json.NewDecoder(io.LimitReader(r, maxText+2*maxThumbnail)).Decode(&e); err != nil {
		return err
	}
	if err := e.check(); err != nil {
		return err
	}
	e.ID, e.From, e.Name, e.Time, e.Past, e.Rooms = newID(), m.id, m.name, time.Now(), false, nil
	if e.Type == "image" {
		if m.image.id != "" {
			return fmt.Errorf("an image, but %d bytes of the last one are missing", m.image.left)
		}
		m.image = upload{e.ID, e.Size}
		m.out.own(e.ID)
	}
	return m.publish(e)
}

// readImage passes on a message of the image, in parts, while it arrives.
func (m *member) readImage(r io.Reader) error {
	for {
		part := make([]byte, idSize+partSize)
		n, err := io.ReadFull(r, part[idSize:])
		if n > 0 {
			if int64(n) > m.image.left {
				return fmt.Errorf("more than the image that was announced")
			}
			hex.Decode(part, []byte(m.image.id))
			if err := m.nc.Publish(subject(m.room), part[:idSize+n]); err != nil {
				return err
			}
			if m.image.left -= int64(n); m.image.left == 0 {
				m.image = upload{}
			}
		}
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
