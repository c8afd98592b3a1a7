package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/bodokaiser/walve"
)

// maxJSON bounds a message that is read, as NextMessage does not.
const maxJSON = 1 << 20

// writeJSON writes v as one text message. It is encoded into the connection,
// in fragments if it is long.
func writeJSON(c *walve.Conn, v any) error {
	w, err := c.NextWriter(walve.Header{Fin: true, Opcode: walve.OpText, Length: -1})
	if err != nil {
		return err
	}
	return errors.Join(json.NewEncoder(w).Encode(v), w.Close())
}

// readJSON reads the next message into v, while it arrives.
func readJSON(c *walve.Conn, v any) error {
	_, r, err := c.NextMessage()
	if err != nil {
		return err
	}
	return json.NewDecoder(io.LimitReader(r, maxJSON)).Decode(v)
}

type sum struct {
	Numbers []int `json:"numbers,omitempty"`
	Sum     int   `json:"sum"`
}

// add answers with the sum of the numbers.
func add(c *walve.Conn) error {
	for {
		var s sum
		if err := readJSON(c, &s); err != nil {
			return err
		}
		for _, n := range s.Numbers {
			s.Sum += n
		}
		if err := writeJSON(c, sum{Sum: s.Sum}); err != nil {
			return err
		}
	}
}

func askJSON(c *walve.Conn, out io.Writer) error {
	question := sum{Numbers: make([]int, 100_000)}
	for i := range question.Numbers {
		question.Numbers[i] = i
	}
	if err := writeJSON(c, question); err != nil {
		return err
	}
	var answer sum
	if err := readJSON(c, &answer); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "json      sent %d numbers, got their sum %d\n", len(question.Numbers), answer.Sum)
	return err
}
