/* The typeface of canvas.h, as it is. */
    .section .rodata
    .global ocelli_font_begin
    .global ocelli_font_end
ocelli_font_begin:
    .incbin OCELLI_FONT
ocelli_font_end:
    .byte 0
    .section .note.GNU-stack,"",%progbits
