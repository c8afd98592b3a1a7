// Package filestream streams a file to a page, which shared/filestream.js
// receives there.
package filestream

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/metrics"
	"strconv"

	"github.com/bodokaiser/walve"
	"github.com/bodokaiser/walve/examples/internal/page"
)

// What goes over the connection as text is JSON.
type (
	// about comes first.
	about struct {
		Name string `json:"name"`
		Size int64  `json:"size"`
	}
	// more is what the page asks for: WebSockets in browsers take whatever
	// comes, so without it a slow page would fill with what it has not shown.
	more struct {
		Bytes int64 `json:"bytes"`
	}
	// memory comes with every answer to more.
	memory struct {
		Memory uint64 `json:"memory"`
	}
)

// Send sends the file from an offset on, as much as the page asks for at a
// time, until the connection ends. A page that was cut off goes on with a new
// connection.
func Send(c *walve.Conn, path string, from int64) error {
	f, err := os.Open(path)
	if err != nil {
		c.CloseWithStatus(walve.StatusInternalError, "the file cannot be read")
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := page.WriteJSON(c, about{filepath.Base(path), info.Size()}); err != nil {
		return err
	}
	if _, err := f.Seek(from, io.SeekStart); err != nil {
		return err
	}
	for {
		var m more
		if _, msg, err := c.ReadMessage(); err != nil {
			return err
		} else if err := json.Unmarshal(msg, &m); err != nil {
			c.CloseWithStatus(walve.StatusInvalidFramePayloadData, "no JSON")
			return err
		}
		// Messages of at most 1 MiB, which the kernel moves from the file to
		// the socket (sendfile): they do not pass through this process.
		if _, err := io.Copy(c, io.LimitReader(f, m.Bytes)); err != nil {
			return err
		}
		if err := page.WriteJSON(c, memory{memoryInUse()}); err != nil {
			return err
		}
	}
}

// memoryInUse is what the process has from the system.
func memoryInUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

// From returns the offset that a request asks to be sent from.
func From(r *http.Request) (int64, error) {
	from, err := strconv.ParseInt(r.FormValue("from"), 10, 64)
	if err == nil && from < 0 {
		err = strconv.ErrRange
	}
	return from, err
}
