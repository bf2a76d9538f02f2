# SPDX-License-Identifier: Apache-2.0
"""From a model's outputs to text and boxes, and how good they are."""
import cv2
import numpy as np


# ---- Recognition ----

def dictionary(model):
    """The characters of a PP-OCR model, from its metadata: class 0 is the blank, the last one a space."""
    import onnx
    metadata = {entry.key: entry.value for entry in onnx.load(model).metadata_props}
    return [""] + metadata["character"].splitlines() + [" "]


def decode(probabilities, characters):
    """CTC: the likeliest class of each step, repeats joined, blanks dropped."""
    best = probabilities.argmax(-1)
    return ["".join(characters[c] for c, before in zip(row, [0, *row[:-1]]) if c != 0 and c != before) for row in best]


def exact_lines(found, wanted):
    """Per cent of lines without any error. Spaces do not count: these models were trained without many."""
    same = [a.replace(" ", "") == b.replace(" ", "") for a, b in zip(found, wanted, strict=True)]
    return 100 * float(np.mean(same))


# ---- Detection ----

def rectangle(points):
    return cv2.boxPoints(cv2.minAreaRect(np.asarray(points, np.float32)))


def find_boxes(probability, threshold=0.3, least_score=0.6, unclip=1.5, least_side=3):
    """DB's post-processing (Liao et al., Real-time Scene Text Detection with Differentiable Binarization, 2020): regions
    over the threshold, the smallest rectangle around each, grown by area * unclip / perimeter on every side."""
    binary = (probability > threshold).astype(np.uint8)
    contours, _ = cv2.findContours(binary, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    boxes = []
    for contour in contours[:1000]:
        centre, (width, height), angle = cv2.minAreaRect(contour)
        if min(width, height) < least_side:
            continue
        inside = np.zeros_like(binary)
        cv2.fillPoly(inside, [np.intp(np.rint(cv2.boxPoints((centre, (width, height), angle))))], 1)
        if probability[inside > 0].mean() < least_score:
            continue
        grow = width * height * unclip / (2 * (width + height))
        boxes.append(cv2.boxPoints((centre, (width + 2 * grow, height + 2 * grow), angle)))
    return boxes


def overlap(a, b):
    """Intersection over union of two rectangles."""
    common, _ = cv2.intersectConvexConvex(np.asarray(a, np.float32), np.asarray(b, np.float32))
    union = cv2.contourArea(np.asarray(a, np.float32)) + cv2.contourArea(np.asarray(b, np.float32)) - common
    return common / union if union > 0 else 0


def count_matches(found, wanted, least_overlap=0.5):
    """Each wanted box takes at most one found box, the best first."""
    pairs = sorted(((overlap(f, w), i, k) for i, f in enumerate(found) for k, w in enumerate(wanted)), reverse=True)
    used_found, used_wanted = set(), set()
    for quality, i, k in pairs:
        if quality >= least_overlap and i not in used_found and k not in used_wanted:
            used_found.add(i)
            used_wanted.add(k)
    return len(used_found)


def hmean(found, wanted):
    """Harmonic mean of precision and recall over all pages, per cent."""
    matches = sum(count_matches(f, w) for f, w in zip(found, wanted, strict=True))
    total = sum(map(len, found)) + sum(map(len, wanted))
    return 200 * matches / total if total else 0.0
