package main

import (
	"strings"
	"testing"
)

// TestCheck: what is let in is what the history has room for.
func TestCheck(t *testing.T) {
	image := event{Type: "image", MIME: "image/png", Size: 1, Thumbnail: "data:image/jpeg;base64,AAAA"}
	bare, withText, noBase64 := image, image, image
	bare.Thumbnail = ""
	withText.Text = "x"
	noBase64.Thumbnail = "data:image/jpeg;base64," + strings.Repeat("<", 4)
	for _, tt := range []struct {
		e  event
		ok bool
	}{
		{image, true},
		{bare, true},
		{withText, false}, // of which as much could be stored as fits into a message
		{noBase64, false}, // which is six times as long as JSON
		{event{Type: "text", Text: "x"}, true},
		{event{Type: "text"}, false},
		{event{Type: "text", Text: strings.Repeat("x", maxText+1)}, false},
	} {
		if err := tt.e.check(); (err == nil) != tt.ok {
			t.Errorf("%.80s: %v", tt.e.encode(), err)
		}
	}
}
