package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/bodokaiser/walve"
)

// Events are named and carry a Go value as JSON. On is called for all names
// before Run, Emit at any time, also concurrently.
type Events struct {
	conn     *walve.Conn
	handlers map[string]func(json.RawMessage) error
}

type event struct {
	Name string          `json:"name"`
	Data json.RawMessage `json:"data,omitempty"`
}

// NewEvents returns the events of a connection.
func NewEvents(c *walve.Conn) *Events {
	return &Events{c, make(map[string]func(json.RawMessage) error)}
}

// On has f called with the data of every event with the name. An error of f
// ends Run.
func On[T any](e *Events, name string, f func(data T) error) {
	e.handlers[name] = func(raw json.RawMessage) error {
		var data T
		if err := json.Unmarshal(raw, &data); err != nil {
			return fmt.Errorf("event %q: %w", name, err)
		}
		return f(data)
	}
}

// Emit sends an event.
func (e *Events) Emit(name string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return writeJSON(e.conn, event{name, raw})
}

// Run handles what comes, one event after the other, until the connection or a
// handler ends. Events that nobody has asked for are passed over.
func (e *Events) Run() error {
	for {
		var ev event
		if err := readJSON(e.conn, &ev); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if f := e.handlers[ev.Name]; f != nil {
			if err := f(ev.Data); err != nil {
				return err
			}
		}
	}
}

type move struct{ X, Y int }

func serveEvents(c *walve.Conn) error {
	e := NewEvents(c)
	var at move
	On(e, "move", func(by move) error {
		at.X += by.X
		at.Y += by.Y
		return e.Emit("at", at)
	})
	return e.Run()
}

func askEvents(c *walve.Conn, out io.Writer) error {
	e := NewEvents(c)
	moves := []move{{1, 2}, {3, 4}}
	On(e, "at", func(at move) error {
		fmt.Fprintf(out, "events    now at %d, %d\n", at.X, at.Y)
		if moves = moves[1:]; len(moves) == 0 {
			return io.EOF
		}
		return e.Emit("move", moves[0])
	})
	if err := e.Emit("move", moves[0]); err != nil {
		return err
	}
	if err := e.Run(); err != io.EOF {
		return fmt.Errorf("ended before the last event: %v", err)
	}
	return nil
}
