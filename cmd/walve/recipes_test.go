package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"regexp"
	"testing"
)

// TestRecipes holds that the README quotes the configurations that the other
// tests run, and has no others.
func TestRecipes(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile", "yaml": "kubernetes.yaml"}
	for _, block := range regexp.MustCompile("(?s)\n```([a-z]+)\n(.*?)```\n").FindAllSubmatch(readme, -1) {
		language := string(block[1])
		file, ok := files[language]
		if !ok {
			if language != "go" { // which the root package's test compares
				t.Errorf("README.md has a block of %s that is no file in docs, or the second one", language)
			}
			continue
		}
		delete(files, language)
		content, err := os.ReadFile("../../docs/" + file)
		if err != nil {
			t.Error(err)
		} else if string(content) != string(block[2]) {
			t.Errorf("README.md's block of %s differs from docs/%s", language, file)
		}
	}
	for _, file := range files {
		t.Errorf("README.md does not quote docs/%s", file)
	}
}

// TestPicture holds that the README's picture is XML that a browser shows.
func TestPicture(t *testing.T) {
	f, err := os.Open("../../docs/layers.svg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
