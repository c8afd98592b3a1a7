package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/exampletest"
)

// streamed reads the whole file as a page does, some bytes at a time, and
// returns between what the server's memory was.
func streamed(t *testing.T, url string, step int64) (low, high uint64) {
	t.Helper()
	c, err := walve.Dial(t.Context(), url+"ws?from=0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(exampletest.Timeout))
	_, first, err := c.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Size int64 }
	if err := json.Unmarshal(first, &file); err != nil {
		t.Fatal(err)
	}
	var got int64
	for got < file.Size {
		if err := c.WriteMessage(walve.OpText, fmt.Appendf(nil, `{"bytes":%d}`, step)); err != nil {
			t.Fatal(err)
		}
		for {
			op, msg, err := c.ReadMessage()
			if err != nil {
				t.Fatal(err)
			}
			if op == walve.OpBinary {
				got += int64(len(msg))
				continue
			}
			var m struct{ Memory uint64 }
			if err := json.Unmarshal(msg, &m); err != nil {
				t.Fatal(err)
			}
			if high = max(high, m.Memory); low == 0 || m.Memory < low {
				low = m.Memory
			}
			break
		}
	}
	if got != file.Size {
		t.Errorf("got %d of %d bytes", got, file.Size)
	}
	return low, high
}

func TestRefuses(t *testing.T) {
	server := exampletest.Start(t, "-addr", "127.0.0.1:0", "-size", "0")
	if _, err := walve.Dial(t.Context(), server.URL+"ws?from=x"); err == nil || !strings.Contains(err.Error(), "400") {
		t.Errorf("an offset that is none: %v", err)
	}
	exampletest.CheckOrigin(t, server.URL, "ws?from=0")
}
